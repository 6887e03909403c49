"""Photos inside the page, within a budget of bytes."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np

from detect.data.images import UnreadableImage, read_image

LONGEST = 480  # pixels of the longer side: sharp enough to see why, 30 kB
QUALITY = 72


class PhotoStore:
    """The photos of a page by number, each once, until ``budget`` bytes of the page are full."""

    def __init__(self, budget: int) -> None:
        self.left = budget
        self.addresses: dict[str, str | None] = {}

    def address(self, file: str, longest: int = LONGEST) -> str | None:
        """A data URI of the photo, its longer side at most ``longest`` pixels; None where it cannot be read or there is
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


def encoded(rgb: np.ndarray, longest: int) -> bytes:
    """A picture (h, w, 3) uint8 as JPEG, its longer side at most ``longest`` pixels."""
    height, width = rgb.shape[:2]
    scale = min(1.0, longest / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    done, content = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError(f"expected a picture that JPEG holds, found {small.shape}")
    return content.tobytes()
