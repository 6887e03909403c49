"""Computes the best IoU that any anchor of an image has with each of its objects.

An object that no anchor overlaps by 0.7 trains the RPN through its single best anchor (Faster R-CNN, 3.1.2 (i)). An
object that no anchor overlaps by 0.5 is hardly ever detected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from detect.data.annotations import Annotations
from detect.ops.anchors import AnchorGenerator
from detect.ops.preprocess import Preprocess


@dataclass(frozen=True)
class ScaledObjects:
    """The objects of a data set in the resized images.

    boxes (T, 4): clipped to their images; image_sides (T, 2): w and h of those images; labels (T,) in 1..K.
    """

    boxes: np.ndarray
    image_sides: np.ndarray
    labels: np.ndarray


def scale_objects(annotations: Annotations, preprocess: Preprocess) -> ScaledObjects:
    """Return all objects but crowds in the resized images, without those under a hundredth of a pixel."""
    image_index = np.repeat(np.arange(len(annotations)), np.diff(annotations.offsets))
    sizes = [annotations.size(index) for index in range(len(annotations))]
    resized = [preprocess.target_size(size) for size in sizes]
    original_sides, resized_sides = (
        np.asarray(all_sizes, np.float64).reshape(-1, 2)[image_index][:, ::-1] for all_sizes in (sizes, resized)
    )
    boxes = annotations.boxes * np.tile(resized_sides / original_sides, 2)
    boxes = np.clip(boxes, 0, np.tile(resized_sides, 2))
    keep = ~annotations.crowd & ((boxes[:, 2:] - boxes[:, :2]) > 0.01).all(1)
    return ScaledObjects(boxes[keep], resized_sides[keep], annotations.labels[keep])


def best_anchor_iou(
    objects: ScaledObjects, generator: AnchorGenerator, strides: Sequence[int], allowed_border: float | None = None
) -> np.ndarray:
    """Return the best IoU (T,) of each object with an anchor.

    strides: pixels between the cells of each feature map; allowed_border: pixels by which anchors may extend beyond the
    image, None for any number. The best anchor of each shape is the one whose center is nearest to the object's center,
    so that only one cell per shape is computed.
    """
    best = np.zeros(len(objects.boxes))
    for level, stride in enumerate(strides):
        for anchor in generator.grid_anchors(level, (1, 1), stride, torch.device("cpu"), torch.float64).numpy():
            best = np.maximum(best, _iou_with_nearest_anchor(objects, anchor, stride, allowed_border))
    return best


def _iou_with_nearest_anchor(
    objects: ScaledObjects, anchor: np.ndarray, stride: int, allowed_border: float | None
) -> np.ndarray:
    """Return the IoU (T,) with the nearest anchor of one shape; anchor (4,): that shape at the first cell."""
    center = (objects.boxes[:, :2] + objects.boxes[:, 2:]) / 2
    last = np.ceil(objects.image_sides / stride) - 1
    first = np.zeros_like(last)
    if allowed_border is not None:
        first = np.maximum(first, np.ceil((-allowed_border - anchor[:2]) / stride))
        last = np.minimum(last, np.floor((objects.image_sides + allowed_border - anchor[2:]) / stride))
    cell = np.clip(np.rint((center - (anchor[:2] + anchor[2:]) / 2) / stride), first, np.maximum(first, last))
    anchors = np.tile(cell * stride, 2) + anchor
    low, high = np.maximum(anchors[:, :2], objects.boxes[:, :2]), np.minimum(anchors[:, 2:], objects.boxes[:, 2:])
    intersection = np.clip(high - low, 0, None).prod(1)
    union = (anchor[2:] - anchor[:2]).prod() + (objects.boxes[:, 2:] - objects.boxes[:, :2]).prod(1) - intersection
    return np.asarray(np.where((first <= last).all(1), intersection / union, 0.0))
