"""Arranges many small images in a grid, and colors arrays of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

_GAP = 2  # pixels


def tile_images(tiles: Sequence[np.ndarray], side: int, columns: int | None = None) -> np.ndarray:
    """Return images (h, w, 3) uint8, each resized to fit ``side`` x ``side`` pixels, as a grid on white: (H, W, 3).

    columns: the maximum number of columns, None for about as many columns as rows.
    """
    columns = math.ceil(math.sqrt(len(tiles))) if columns is None else min(columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    step = side + _GAP
    grid = np.full((rows * step + _GAP, columns * step + _GAP, 3), 255, np.uint8)
    for index, tile in enumerate(tiles):
        scale = side / max(tile.shape[:2])
        size = max(1, round(tile.shape[1] * scale)), max(1, round(tile.shape[0] * scale))
        interpolation = cv2.INTER_NEAREST if scale > 1 else cv2.INTER_AREA
        resized = cv2.resize(tile, size, interpolation=interpolation)
        top, left = _GAP + index // columns * step, _GAP + index % columns * step
        grid[top : top + size[1], left : left + size[0]] = resized
    return grid


def signed_colors(values: np.ndarray) -> np.ndarray:
    """Return numbers (h, w, 3) as colors uint8: 0 is gray, the largest thousandth of magnitudes black or bright."""
    span = float(np.percentile(np.abs(values), 99.9)) or float(np.abs(values).max()) or 1.0
    return np.asarray((values / span * 127 + 128).round().clip(0, 255), np.uint8)


def heat_colors(values: np.ndarray) -> np.ndarray:
    """Return numbers (h, w) as colors (h, w, 3) uint8, from dark for the minimum to bright for the maximum."""
    low, high = float(values.min()), float(values.max())
    fractions = (values - low) / (high - low or 1.0)
    return np.asarray(cv2.applyColorMap(np.asarray(fractions * 255, np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1])
