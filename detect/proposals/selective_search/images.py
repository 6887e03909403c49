"""The images that selective search accepts: validated, converted to RGB bytes, resized to the width of the search."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from detect.errors import UserError

_MAX_HEIGHT_TO_WIDTH = 4  # the largest height of a resized image, in widths, so that a strip does not become huge
_MAX_SIDE = 32767  # corners are packed in 15 bits to find equal boxes
_MAX_PIXELS = 1 << 28  # the index of an edge, four per pixel, is stored in 30 bits


def as_rgb(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an image as (H, W, 3) uint8.

    Accepts gray (H, W) or (H, W, 1), RGB, and RGBA whose alpha is ignored; floats are in 0..1.
    """
    if not isinstance(image, np.ndarray):
        raise UserError(f"image: expected a numpy array (H, W, 3) of uint8, found {type(image).__name__}")
    gray = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1)
    if not gray and not (image.ndim == 3 and image.shape[2] in (3, 4)):
        raise UserError(f"image: expected shape (H, W), (H, W, 3) or (H, W, 4), found {image.shape}")
    if image.size == 0:
        raise UserError(f"image: expected at least one pixel, found shape {image.shape}")
    pixels = _as_bytes(image)
    if gray:
        return np.repeat(pixels.reshape(*image.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(pixels[..., :3])


def resize_to_width(rgb: NDArray[np.uint8], width: int | None) -> NDArray[np.uint8]:
    """Return a copy of this width (less if the image is a tall strip), or the image itself if ``width`` is None."""
    old_height, old_width = rgb.shape[:2]
    if width is not None:
        scale = min(width / old_width, _MAX_HEIGHT_TO_WIDTH * width / old_height)
        size = max(1, round(old_width * scale)), max(1, round(old_height * scale))
        rgb = np.asarray(
            cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), np.uint8
        )
    if max(rgb.shape[:2]) > _MAX_SIDE or rgb.shape[0] * rgb.shape[1] > _MAX_PIXELS:
        actual = f"{rgb.shape[1]}x{rgb.shape[0]}"
        raise UserError(f"image: expected sides up to {_MAX_SIDE} pixels, found {actual}; give resize_to=500")
    return rgb


def _as_bytes(image: NDArray[Any]) -> NDArray[np.uint8]:
    if image.dtype == np.uint8:
        return image
    if not np.issubdtype(image.dtype, np.floating):
        raise UserError(f"image: expected uint8 in 0..255 or floats in 0..1, found {image.dtype}")
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):
        raise UserError(f"image: expected floats in 0..1, found {low:g}..{high:g}")
    return np.asarray(np.rint(image * 255), np.uint8)
