"""Many small pictures on one sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

_GAP = 2  # pixels


def tile_images(tiles: Sequence[np.ndarray], side: int, columns: int | None = None) -> np.ndarray:
    """Pictures (h, w, 3) uint8, each fitted into ``side`` x ``side`` pixels, in rows on white: (H, W, 3).

    columns: None for as many as rows.
    """
    columns = math.ceil(math.sqrt(len(tiles))) if columns is None else min(columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    step = side + _GAP
    whole = np.full((rows * step + _GAP, columns * step + _GAP, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        scale = side / max(tile.shape[:2])
        size = max(1, round(tile.shape[1] * scale)), max(1, round(tile.shape[0] * scale))
        way = cv2.INTER_NEAREST if scale > 1 else cv2.INTER_AREA
        fitted = cv2.resize(tile, size, interpolation=way)
        top, left = _GAP + number // columns * step, _GAP + number % columns * step
        whole[top : top + size[1], left : left + size[0]] = fitted
    return whole


def signed_colors(values: np.ndarray) -> np.ndarray:
    """(h, w, 3) floats -> uint8: 0 is grey, the largest thousandth of absolute values black or bright."""
    span = float(np.percentile(np.abs(values), 99.9)) or float(np.abs(values).max()) or 1.0
    return np.asarray((values / span * 127 + 128).round().clip(0, 255), np.uint8)


def heat_colors(values: np.ndarray) -> np.ndarray:
    """(h, w) floats -> (h, w, 3) uint8: from dark for the smallest to bright for the largest."""
    low, high = float(values.min()), float(values.max())
    fractions = (values - low) / (high - low or 1.0)
    return np.asarray(cv2.applyColorMap(np.asarray(fractions * 255, np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1])
