"""Images inside the page, within a budget of bytes."""

from __future__ import annotations

import base64
from pathlib import Path

from detect.data.images import UnreadableImage, read_image
from detect.draw import encoded

LONGEST = 480  # pixels of the longer side: sharp enough to see why, 30 kB


class ImageStore:
    """The images of a page by number, each once, until ``budget`` bytes of the page are full."""

    def __init__(self, budget: int) -> None:
        self.left = budget
        self.addresses: dict[str, str | None] = {}

    def address(self, file: str, longest: int = LONGEST) -> str | None:
        """A data URI of the image, its longer side at most ``longest`` pixels; None where it cannot be read or there is
        no room for it.
        """
        if file not in self.addresses:
            self.addresses[file] = self._made(file, longest)
        return self.addresses[file]

    def _made(self, file: str, longest: int) -> str | None:
        if self.left <= 0:
            return None
        try:
            picture = encoded(read_image(Path(file)), longest)
        except UnreadableImage:
            return None
        address = "data:image/jpeg;base64," + base64.b64encode(picture).decode()
        if len(address) > self.left:
            return None
        self.left -= len(address)
        return address
