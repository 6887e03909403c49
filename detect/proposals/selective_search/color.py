"""The color spaces of selective search (Uijlings et al. 2013, section 3.2), each as planes of bytes.

Lab is OpenCV's, for the white point D65; the authors' code has MATLAB's, for D50.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Planes = NDArray[np.uint8]  # (C, H, W)


def _hsv(rgb: NDArray[np.uint8]) -> Planes:
    return _planes(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV_FULL), np.uint8))


def _lab(rgb: NDArray[np.uint8]) -> Planes:
    return _planes(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB), np.uint8))


def _rgi(rgb: NDArray[np.uint8]) -> Planes:
    """Return red and green as fractions of their sum with blue (0 where the pixel is black), and intensity: (3, H,
    W).
    """
    return np.stack([*_fractions(rgb)[:2], *_intensity(rgb)])


def _fractions(rgb: NDArray[np.uint8]) -> Planes:
    """Return red, green and blue as fractions of their sum, 0 where the pixel is black: (3, H, W)."""
    total = np.maximum(rgb.sum(axis=2, dtype=np.uint16), 1).astype(np.float32)
    return np.stack([np.rint(rgb[..., c] * np.float32(255) / total).astype(np.uint8) for c in range(3)])


def _hue(rgb: NDArray[np.uint8]) -> Planes:
    return _hsv(rgb)[:1]


def _intensity(rgb: NDArray[np.uint8]) -> Planes:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)[None]


def _planes(image: NDArray[np.uint8]) -> Planes:
    return np.ascontiguousarray(image.transpose(2, 0, 1))


@dataclass(frozen=True)
class ColorSpace:
    """A color space: ``planes`` converts RGB (H, W, 3) to (C, H, W) bytes; ``contrast`` scales differences in
    segmentation.

    The authors' code repeats a single channel three times, so that its differences, and with them the scale of k, are
    those of three channels: a contrast of sqrt(3). Normalized histograms do not depend on the repetition.
    """

    planes: Callable[[NDArray[np.uint8]], Planes]
    contrast: float = 1.0


SPACES = {
    "HSV": ColorSpace(_hsv),
    "Lab": ColorSpace(_lab),
    "rgI": ColorSpace(_rgi),
    "H": ColorSpace(_hue, 3.0**0.5),
    "I": ColorSpace(_intensity, 3.0**0.5),
    "RGB": ColorSpace(_planes),
    "rgb": ColorSpace(_fractions),
}
