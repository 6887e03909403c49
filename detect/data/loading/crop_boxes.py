"""Boxes seen through a window of an image, and in a mirror. Boxes are (B, 4) arrays in continuous pixels."""

from __future__ import annotations

import numpy as np

Window = tuple[int, int, int, int]  # x1, y1, x2, y2, whole pixels


def through(boxes: np.ndarray, window: Window) -> np.ndarray:
    """Boxes clipped to the window, in the window's own pixels; one outside of it gets an extent of 0."""
    x1, y1, x2, y2 = window
    first, last = np.asarray([x1, y1, x1, y1], boxes.dtype), np.asarray([x2, y2, x2, y2], boxes.dtype)
    return np.asarray(np.clip(boxes, first, last) - first)


def visible_share(boxes: np.ndarray, window: Window) -> np.ndarray:
    """The share (B,), 0..1, of each box's area that lies in the window; 0 for a box without extent."""
    area = areas(boxes)
    return np.asarray(np.divide(areas(through(boxes, window)), area, out=np.zeros_like(area), where=area > 0))


def areas(boxes: np.ndarray) -> np.ndarray:
    """(B,) square pixels."""
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def mirrored(boxes: np.ndarray, width: int) -> np.ndarray:
    """Boxes of a picture flipped left to right: x becomes width - x."""
    x1, y1, x2, y2 = boxes.T
    return np.stack([width - x2, y1, width - x1, y2], axis=1)
