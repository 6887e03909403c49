"""The outcome of each detection by the rules of one metric, from which every analysis starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from detect.evaluation.assignment import TRUE_POSITIVE, CandidatePairs, assign, candidate_pairs
from detect.evaluation.columns import (
    BoolArray,
    DetectionColumns,
    EvalColumns,
    GroundTruthColumns,
    IntArray,
    as_coco_files,
    rank_in_group,
)
from detect.evaluation.mask_columns import mask_columns
from detect.evaluation.predictions import Prediction, require_aligned
from detect.evaluation.rules import COCO_AP, VOC07, VOC12, Rules
from detect.evaluation.score import Metric

if TYPE_CHECKING:
    from detect.data.annotations import Annotations

METRIC_RULES: dict[Metric, Rules] = {"voc07": VOC07, "voc12": VOC12, "coco": COCO_AP}


@dataclass(frozen=True)
class Matches:
    """The D detections that count by the rules, and the outcome of each.

    classes: K names; images (N,): the index in the data of each image of the columns; sizes (N, 2): their height and
    width in pixels; outcome (D, T) int8: FALSE_POSITIVE, TRUE_POSITIVE or IGNORED at each of the rules' IoUs.
    """

    classes: tuple[str, ...]
    images: IntArray
    sizes: NDArray[np.int32]
    columns: EvalColumns
    rules: Rules
    outcome: NDArray[np.int8]


def match(annotations: Annotations, predictions: Sequence[Prediction], rules: Rules) -> Matches:
    """Assign predictions, one for each image in the order of the annotations (``align`` returns them so).

    Raises ValueError where the lengths differ.
    """
    require_aligned(annotations, predictions)
    columns = rules.layout(annotations, predictions).limit_detections(rules.limit)
    by_id = rules.layout in (as_coco_files, mask_columns)
    images = np.argsort(annotations.image_ids) if by_id else np.arange(len(annotations))
    outcome = assign(columns, columns.ground_truth.ignore[:, None], rules)[:, 0]
    return Matches(annotations.classes, images, annotations.sizes[images], columns, rules, outcome)


def rankings(matches: Matches) -> list[IntArray]:
    """Return the rows of the detections of each class, best first.

    Equal scores rank by image, then in the order of the data.
    """
    scores = matches.columns.detections.scores
    of_class = matches.columns.class_slices(matches.columns.detections.groups)
    return [rows.start + np.argsort(-scores[rows], kind="stable") for rows in of_class]


def labels_of(columns: EvalColumns, groups: IntArray) -> IntArray:
    """Return the class 1..K of each row from its group (N,)."""
    return 1 + groups // max(columns.num_images, 1)


def images_of(columns: EvalColumns, groups: IntArray) -> IntArray:
    """Return the image of each row from its group (N,), as the columns number the images."""
    return groups % max(columns.num_images, 1)


def images_with_objects(matches: Matches) -> dict[str, int]:
    """Return by class name the number of images that have an object of the class that counts."""
    columns, truth = matches.columns, matches.columns.ground_truth
    slices = columns.class_slices(truth.groups)
    return {
        name: len(np.unique(images_of(columns, truth.groups[boxes][~truth.ignore[boxes]])))
        for name, boxes in zip(matches.classes, slices, strict=True)
    }


def matched_objects(columns: EvalColumns, outcome: NDArray[np.int8], rules: Rules) -> IntArray:
    """Return the row of the box that each true positive matches, -1 for other detections: (D,).

    outcome (D,): of ``assign`` at the first of the rules' IoUs, with the difficult and crowd boxes ignored.
    """
    pairs = candidate_pairs(columns, replace(rules, ious=rules.ious[:1]))
    pairs = pairs[(outcome[pairs.det_index] == TRUE_POSITIVE) & ~columns.ground_truth.ignore[pairs.gt_index]]
    true_positives = np.unique(pairs.det_index)
    rounds = np.zeros(
        len(outcome), np.int64
    )  # as in assignment.py: the n-th true positives of all groups choose at once
    rounds[true_positives] = rank_in_group(columns.detections.groups[true_positives])
    ties = pairs.gt_index if rules.last_on_ties else -pairs.gt_index
    pairs = pairs[np.lexsort((ties, pairs.overlaps, rounds[pairs.det_index]))]
    edges = np.searchsorted(rounds[pairs.det_index], np.arange(rounds.max(initial=0) + 2)).tolist()
    matched = np.full(len(outcome), -1)
    free = np.ones(len(columns.ground_truth.groups), bool)
    for start, end in pairwise(edges):
        choices = pairs[np.arange(start, end)]
        choices = choices[free[choices.gt_index]]
        matched[choices.det_index] = choices.gt_index  # the last assignment stays: the best overlap
        free[matched[choices.det_index]] = False
    return matched


def top_of_each_image(columns: EvalColumns, limit: int) -> EvalColumns:
    """Return the columns with the ``limit`` best detections of each image, of all classes together."""
    detections = columns.detections
    images = images_of(columns, detections.groups)
    order = np.lexsort((-detections.scores, images))
    keep = np.zeros(len(order), bool)
    keep[order] = rank_in_group(images[order]) < limit
    return with_detections(columns, keep)


def with_detections(columns: EvalColumns, keep: BoolArray) -> EvalColumns:
    """Return the columns with the detections of ``keep`` (D,)."""
    old, groups = columns.detections, columns.detections.groups[keep]
    detections = DetectionColumns(groups, rank_in_group(groups), old.boxes[keep], old.scores[keep])
    return replace(columns, detections=detections)


@dataclass(frozen=True)
class ClassAgnostic:
    """Columns with a single class, so that a group is an image.

    gt_index, det_index: the row of each box and detection in the columns with classes.
    """

    columns: EvalColumns
    gt_index: IntArray
    det_index: IntArray

    def pairs(self, rules: Rules) -> CandidatePairs:
        """Return the ``candidate_pairs`` across classes, as rows of the columns with classes."""
        pairs = candidate_pairs(self.columns, rules)
        return CandidatePairs(self.det_index[pairs.det_index], self.gt_index[pairs.gt_index], pairs.overlaps)


def class_agnostic(columns: EvalColumns, keep: BoolArray) -> ClassAgnostic:
    """Return the boxes of ``keep`` (G,) and all detections of the columns without their classes."""
    ground_truth, detections = columns.ground_truth, columns.detections
    boxes = np.flatnonzero(keep)
    boxes = boxes[np.argsort(images_of(columns, ground_truth.groups[boxes]), kind="stable")]
    images = images_of(columns, detections.groups)
    order = np.lexsort((-detections.scores, images))
    groups = images[order]
    merged = EvalColumns(
        num_images=columns.num_images,
        num_classes=1,
        ground_truth=GroundTruthColumns(
            images_of(columns, ground_truth.groups[boxes]),
            ground_truth.boxes[boxes],
            ground_truth.areas[boxes],
            ground_truth.ignore[boxes],
        ),
        detections=DetectionColumns(groups, rank_in_group(groups), detections.boxes[order], detections.scores[order]),
    )
    return ClassAgnostic(merged, boxes, order)
