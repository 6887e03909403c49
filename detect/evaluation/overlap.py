"""How much boxes overlap, in numpy: scoring without a model needs no torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def intersection(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the common area (A, B), in square pixels, of boxes (A, 4) and (B, 4) x1 y1 x2 y2 in continuous pixels."""
    a, b = a.reshape(-1, 1, 4), b.reshape(1, -1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    common: NDArray[np.float64] = np.prod(sides.clip(0), axis=-1)
    return common


def iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the IoU (A, B) of boxes (A, 4) and (B, 4) in continuous pixels; 0 where both are empty."""
    common = intersection(a, b)
    return _divide(common, area(a)[:, None] + area(b)[None, :] - common)


def fraction_inside(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the fraction (A, B), in 0..1, of the area of each box b (B, 4) that lies in each box a (A, 4)."""
    common = intersection(a, b)
    return _divide(common, np.broadcast_to(area(b)[None, :], common.shape))


def area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the areas (N,) of boxes (N, 4), width times height."""
    areas: NDArray[np.float64] = np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1)
    return areas


def _divide(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return part / whole, 0 where whole is 0."""
    fraction: NDArray[np.float64] = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return fraction
