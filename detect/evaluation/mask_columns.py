"""Masks as columns, whose overlaps are those of their pixels, and COCO's metrics of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools import mask as coco_mask

from detect.data.masks import RleMask, mask_area, mask_box, rasterize, to_coco
from detect.evaluation.columns import (
    BoolArray,
    BoxColumns,
    EvalColumns,
    FloatArray,
    GroundTruthColumns,
    IntArray,
    make_columns,
)
from detect.evaluation.predictions import Prediction, flatten

if TYPE_CHECKING:
    from detect.data.annotations import Annotations


@dataclass(frozen=True)
class MaskColumns(BoxColumns):
    """corners (N, 4): the boxes around the pixels; areas (N,): the numbers of pixels; rles (N,): pycocotools' dicts."""

    rles: np.ndarray

    def __getitem__(self, rows: IntArray | BoolArray | slice) -> MaskColumns:
        return MaskColumns(self.corners[rows], self.areas[rows], self.rles[rows])

    def overlaps(self, others: BoxColumns, use_ioa: BoolArray) -> FloatArray:
        """Return the overlaps (N,) in pixels with N other masks of the same images, by pycocotools."""
        assert isinstance(others, MaskColumns)
        overlaps = np.zeros(len(self.rles))
        changes = np.flatnonzero([a is not b for a, b in zip(self.rles[1:], self.rles, strict=False)]) + 1
        for rows in np.split(np.arange(len(self.rles)), changes):  # neighbours with one mask are one call
            if len(rows):
                flags = use_ioa[rows].astype(np.uint8).tolist()
                overlaps[rows] = coco_mask.iou([self.rles[rows[0]]], others.rles[rows].tolist(), flags)[0]
        return overlaps


def mask_fault(annotations: Annotations, predictions: Sequence[Prediction]) -> str | None:
    """Return why the masks of predictions cannot be scored; None where they can.

    Every object and every detection needs one; difficult objects and crowds too.
    """
    if all(prediction.masks is None for prediction in predictions):
        return "the detections have no masks"
    without = sum(prediction.masks is None and len(prediction) > 0 for prediction in predictions)
    if without:
        return f"the detections of {without} images have no masks"
    if annotations.masks is None:
        return "no masks of the objects were read"
    missing = int((annotations.masks.lengths == 0).sum())
    return f"{missing} of {len(annotations.boxes)} objects have no mask" if missing else None


def mask_columns(annotations: Annotations, predictions: Sequence[Prediction]) -> EvalColumns:
    """Return the columns of masks, images in the order of their ids. ``mask_fault`` tells whether all have one.

    The area of a detection is that of its mask, as in detectron2. (pycocotools' ``loadRes`` takes the area of the box
    where results have one.) The area of an object is the data set's.
    """
    assert annotations.masks is not None
    num_images = len(annotations)
    image_ranks = np.argsort(np.argsort(annotations.image_ids))
    sizes = [annotations.size(index) for index in range(num_images)]
    image_of = np.repeat(np.arange(num_images), np.diff(annotations.offsets))
    objects = [annotations.masks[row] for row in range(len(annotations.masks))]
    truths = [rasterize(mask, sizes[image]) for mask, image in zip(objects, image_of, strict=True) if mask is not None]
    ground_truth = GroundTruthColumns(
        groups=(annotations.labels - 1) * num_images + image_ranks[image_of],
        boxes=_to_columns(truths),
        areas=annotations.areas,
        ignore=annotations.difficult | annotations.crowd,
    )
    detected = [rasterize(mask, size) for p, size in zip(predictions, sizes, strict=True) for mask in p.masks or ()]
    detections = flatten(predictions)
    groups = (detections.labels - 1) * num_images + image_ranks[detections.images]
    return make_columns(
        num_images, len(annotations.classes), ground_truth, groups, _to_columns(detected), detections.scores
    )


def _to_columns(masks: Sequence[RleMask]) -> MaskColumns:
    """Return masks as columns."""
    rles = np.empty(len(masks), object)
    records: list[Any] = [to_coco(mask) for mask in masks]
    rles[:] = records
    return MaskColumns(
        corners=np.array([mask_box(mask) for mask in masks], np.float64).reshape(-1, 4),
        areas=np.array([mask_area(mask) for mask in masks], np.float64),
        rles=rles,
    )
