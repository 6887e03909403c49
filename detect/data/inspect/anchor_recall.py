"""Which objects anchors can reach: the best IoU that any anchor of an image has with each of its objects.

An object that no anchor overlaps by 0.7 trains the RPN through its single best anchor (Faster R-CNN, 3.1.2 (i)); one
that none overlaps by 0.5 is hardly found at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from detect.data.annotations import Annotations
from detect.ops.anchors import AnchorShapes
from detect.ops.preprocess import Preprocess


@dataclass(frozen=True)
class Scaled:
    """Objects at the working resolution: boxes (T, 4) clipped to their pictures; sides (T, 2) of those, w and h; labels
    (T,) in 1..K."""

    boxes: np.ndarray
    sides: np.ndarray
    labels: np.ndarray


def scaled(annotations: Annotations, preprocess: Preprocess) -> Scaled:
    """Every object but crowds, as the network sees it; those under a hundredth of a pixel are left out."""
    image = np.repeat(np.arange(len(annotations)), np.diff(annotations.offsets))
    sizes = [annotations.size(index) for index in range(len(annotations))]
    resized = [preprocess.resized(size) for size in sizes]
    found, wanted = (np.asarray(each, np.float64).reshape(-1, 2)[image][:, ::-1] for each in (sizes, resized))
    boxes = annotations.boxes * np.tile(wanted / found, 2)
    boxes = np.clip(boxes, 0, np.tile(wanted, 2))
    kept = ~annotations.crowd & ((boxes[:, 2:] - boxes[:, :2]) > 0.01).all(1)
    return Scaled(boxes[kept], wanted[kept], annotations.labels[kept])


def best_overlaps(
    objects: Scaled, shapes: AnchorShapes, spacings: Sequence[int], outside: float | None = None
) -> np.ndarray:
    """The best IoU (T,) of each object with an anchor.

    spacings: pixels between the cells of each map; outside: how far anchors may reach over the border, None for any.
    For one shape the cell nearest to the object's centre is the best, so that only one cell a shape is looked at.
    """
    best = np.zeros(len(objects.boxes))
    for level, spacing in enumerate(spacings):
        for shape in shapes.on_map(level, (1, 1), spacing, torch.device("cpu"), torch.float64).numpy():
            best = np.maximum(best, _overlaps(objects, shape, spacing, outside))
    return best


def _overlaps(objects: Scaled, shape: np.ndarray, spacing: int, outside: float | None) -> np.ndarray:
    """IoU (T,) with the nearest anchor of one shape, given at the first cell (4,)."""
    centre = (objects.boxes[:, :2] + objects.boxes[:, 2:]) / 2
    last = np.ceil(objects.sides / spacing) - 1
    first = np.zeros_like(last)
    if outside is not None:
        first = np.maximum(first, np.ceil((-outside - shape[:2]) / spacing))
        last = np.minimum(last, np.floor((objects.sides + outside - shape[2:]) / spacing))
    cell = np.clip(np.rint((centre - (shape[:2] + shape[2:]) / 2) / spacing), first, np.maximum(first, last))
    anchors = np.tile(cell * spacing, 2) + shape
    low, high = np.maximum(anchors[:, :2], objects.boxes[:, :2]), np.minimum(anchors[:, 2:], objects.boxes[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    union = (shape[2:] - shape[:2]).prod() + (objects.boxes[:, 2:] - objects.boxes[:, :2]).prod(1) - shared
    return np.asarray(np.where((first <= last).all(1), shared / union, 0.0))
