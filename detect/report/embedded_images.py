"""Images embedded in the page as data URIs, within a budget of bytes."""

from __future__ import annotations

import base64
from pathlib import Path

from detect.data.images import read_image
from detect.draw import encode_jpeg
from detect.errors import UnreadableImage

LONGER_SIDE = 480  # in pixels: sharp enough to see the reason of an error, 30 kB


class ImageStore:
    """The images of a page, each embedded once, until ``budget`` bytes are used up."""

    def __init__(self, budget: int) -> None:
        self.bytes_left = budget
        self.data_uris: dict[str, str | None] = {}

    def data_uri(self, file: str) -> str | None:
        """Return a data URI of the image, its longer side at most LONGER_SIDE pixels.

        Returns None where the image cannot be read or there is no room for it.
        """
        if file not in self.data_uris:
            self.data_uris[file] = self._encode(file)
        return self.data_uris[file]

    def _encode(self, file: str) -> str | None:
        if self.bytes_left <= 0:
            return None
        try:
            jpeg = encode_jpeg(read_image(Path(file)), LONGER_SIDE)
        except UnreadableImage:
            return None
        uri = "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
        if len(uri) > self.bytes_left:
            return None
        self.bytes_left -= len(uri)
        return uri
