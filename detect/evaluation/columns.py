"""Ground truth and detections as columns (one array per field), as each scorer's own files hold them.

A scorer matches one class in one image at a time. Such a pair of class and image is a group here, numbered
class * num_images + image, so that all rows of a class lie together and, within the class, all rows of an image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from detect.evaluation.predictions import Prediction, PredictionColumns, flatten

if TYPE_CHECKING:
    from detect.data.annotations import Annotations

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class BoxColumns:
    """corners (N, 4) x1 y1 x2 y2 in continuous pixels; areas (N,), width times height in square pixels."""

    corners: FloatArray
    areas: FloatArray

    def __getitem__(self, rows: IntArray | BoolArray | slice) -> BoxColumns:
        return BoxColumns(self.corners[rows], self.areas[rows])

    def overlaps(self, others: BoxColumns, use_ioa: BoolArray) -> FloatArray:
        """Return the overlaps (N,) with N others: IoU, or intersection over the own area where ``use_ioa`` (N,)."""
        high = np.minimum(self.corners[:, 2:], others.corners[:, 2:])
        sides = np.maximum(high - np.maximum(self.corners[:, :2], others.corners[:, :2]), 0.0)
        intersection = sides[:, 0] * sides[:, 1]
        union = np.where(use_ioa, self.areas, self.areas + others.areas - intersection)
        overlaps: FloatArray = np.divide(intersection, union, out=np.zeros(len(intersection)), where=intersection > 0)
        return overlaps


def boxes_from_xyxy(corners: FloatArray) -> BoxColumns:
    """Return boxes (N, 4) x1 y1 x2 y2 with their areas."""
    return BoxColumns(corners, (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1]))


def boxes_from_xywh(xywh: FloatArray) -> BoxColumns:
    """Return boxes (N, 4) x y width height as corners with areas.

    The far corner is rounded by the addition; the area is the product of the width and height as they stand.
    """
    return BoxColumns(np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1), xywh[:, 2] * xywh[:, 3])


@dataclass(frozen=True)
class GroundTruthColumns:
    """G ground-truth boxes, ordered by group, and within a group in the order of the data.

    groups (G,); boxes; areas (G,): the annotation's area, which may be the area of a mask; ignore (G,): the box is
    difficult or a crowd, so that it need not be found and a detection that matches it does not count.
    """

    groups: IntArray
    boxes: BoxColumns
    areas: FloatArray
    ignore: BoolArray


@dataclass(frozen=True)
class DetectionColumns:
    """D detections, ordered by group, and within a group by falling score; equal scores stay in the order of the data.

    groups (D,); ranks (D,): the rank within the group, from 0; boxes; scores (D,).
    """

    groups: IntArray
    ranks: IntArray
    boxes: BoxColumns
    scores: FloatArray


@dataclass(frozen=True)
class EvalColumns:
    """Everything that is scored: the ground truth and the detections of a data set."""

    num_images: int
    num_classes: int
    ground_truth: GroundTruthColumns
    detections: DetectionColumns

    def limit_detections(self, limit: int | None) -> EvalColumns:
        """Return the columns with the best ``limit`` detections of each class in each image (None: all)."""
        if limit is None:
            return self
        keep, detections = self.detections.ranks < limit, self.detections
        return EvalColumns(
            self.num_images,
            self.num_classes,
            self.ground_truth,
            DetectionColumns(
                detections.groups[keep], detections.ranks[keep], detections.boxes[keep], detections.scores[keep]
            ),
        )

    def class_slices(self, groups: IntArray) -> list[slice]:
        """Return for each class the slice of its rows in columns that are ordered by ``groups`` (N,)."""
        edges = np.searchsorted(groups, np.arange(self.num_classes + 1) * self.num_images).tolist()
        return [slice(start, end) for start, end in pairwise(edges)]


def make_columns(
    num_images: int,
    num_classes: int,
    ground_truth: GroundTruthColumns,
    groups: IntArray,
    boxes: BoxColumns,
    scores: FloatArray,
) -> EvalColumns:
    """Sort rows that may be in any order of groups into columns.

    groups (D,), boxes and scores (D,) belong to the detections.
    """
    rows = np.argsort(ground_truth.groups, kind="stable")
    ordered = GroundTruthColumns(
        ground_truth.groups[rows], ground_truth.boxes[rows], ground_truth.areas[rows], ground_truth.ignore[rows]
    )
    best = np.lexsort((-scores, groups))
    groups = groups[best]
    detections = DetectionColumns(groups, rank_in_group(groups), boxes[best], scores[best])
    return EvalColumns(num_images, num_classes, ordered, detections)


def rank_in_group(groups: IntArray) -> IntArray:
    """Return the rank of each row among the rows of its group, from 0; ``groups`` ascend: [4, 4, 7] -> [0, 1, 0]."""
    rows = np.arange(len(groups))
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    return rows - np.repeat(starts, np.diff(starts, append=len(groups)))


ColumnLayout = Callable[["Annotations", Sequence[Prediction]], EvalColumns]


def as_is(annotations: Annotations, predictions: Sequence[Prediction]) -> EvalColumns:
    """Return the columns without any rounding; images are in the order of the data."""
    return _from_predictions(annotations, flatten(predictions), np.arange(len(annotations)), boxes_from_xyxy)


def as_py_faster_rcnn_files(annotations: Annotations, predictions: Sequence[Prediction]) -> EvalColumns:
    """Return the columns as py-faster-rcnn's result files hold them (its pascal_voc.py).

    Scores have 3 decimals and box corners 1, so that scores become equal and boxes move.
    """
    detections = flatten(predictions)
    rounded = PredictionColumns(
        detections.images, detections.boxes.round(1), detections.scores.round(3), detections.labels
    )
    return _from_predictions(annotations, rounded, np.arange(len(annotations)), boxes_from_xyxy)


def as_coco_files(annotations: Annotations, predictions: Sequence[Prediction]) -> EvalColumns:
    """Return the columns as COCO files hold them: boxes as x y width height, images in the order of their ids."""
    image_ranks = np.argsort(np.argsort(annotations.image_ids))
    return _from_predictions(
        annotations, flatten(predictions), image_ranks, lambda corners: boxes_from_xywh(_xyxy_to_xywh(corners))
    )


def _from_predictions(
    annotations: Annotations,
    detections: PredictionColumns,
    image_ranks: IntArray,
    make_boxes: Callable[[FloatArray], BoxColumns],
) -> EvalColumns:
    """Return the columns of a data set; image_ranks (N,): the rank of each image among the images."""
    num_images = len(annotations)
    ground_truth = GroundTruthColumns(
        groups=(annotations.labels - 1) * num_images + np.repeat(image_ranks, np.diff(annotations.offsets)),
        boxes=make_boxes(annotations.boxes),
        areas=annotations.areas,
        ignore=annotations.difficult | annotations.crowd,
    )
    groups = (detections.labels - 1) * num_images + image_ranks[detections.images]
    boxes = make_boxes(detections.boxes)
    return make_columns(num_images, len(annotations.classes), ground_truth, groups, boxes, detections.scores)


def _xyxy_to_xywh(corners: FloatArray) -> FloatArray:
    """(N, 4) x1 y1 x2 y2 -> (N, 4) x y width height."""
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
