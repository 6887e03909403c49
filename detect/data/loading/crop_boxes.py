"""Boxes in a window of an image and in a flipped image. Boxes are (B, 4) arrays in continuous pixels."""

from __future__ import annotations

import numpy as np

from detect.ops.slices import Window


def clip_to_window(boxes: np.ndarray, window: Window) -> np.ndarray:
    """Return the boxes (B, 4) clipped to the window, in the window's pixels; boxes outside get an extent of 0."""
    x1, y1, x2, y2 = window
    low, high = np.asarray([x1, y1, x1, y1], boxes.dtype), np.asarray([x2, y2, x2, y2], boxes.dtype)
    return np.asarray(np.clip(boxes, low, high) - low)


def visible_fraction(boxes: np.ndarray, window: Window) -> np.ndarray:
    """Return the fraction (B,), 0..1, of each box's area inside the window; 0 for a box without extent."""
    area = box_areas(boxes)
    return np.asarray(
        np.divide(box_areas(clip_to_window(boxes, window)), area, out=np.zeros_like(area), where=area > 0)
    )


def is_shown(boxes: np.ndarray, crowd: np.ndarray, window: Window, min_visibility: float) -> np.ndarray:
    """Return which objects (B,) a window shows enough of: the fraction ``min_visibility`` of their area, in 0..1.

    Of a crowd, crowd (B,) bool, any part is enough: where its box is gone, what is inside it is trained as background.
    """
    visible = visible_fraction(boxes, window)
    return np.asarray((visible > 0) & (crowd | (visible >= min_visibility)))


def box_areas(boxes: np.ndarray) -> np.ndarray:
    """Return the areas (B,) in square pixels."""
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def hflip_boxes(boxes: np.ndarray, width: int) -> np.ndarray:
    """Return the boxes (B, 4) of an image that is flipped left to right: x becomes width - x."""
    x1, y1, x2, y2 = boxes.T
    return np.stack([width - x2, y1, width - x1, y2], axis=1)
