"""TIDE's error types: one for each detection that is not a true positive and for each object that no error is about.

Bolya, Foley, Hays and Hoffman 2020, "TIDE: A General Toolbox for Identifying Object Detection Errors", section 2.2;
where the paper is silent the rules are those of its package, tidecv 1.0.1. A detection is compared with the boxes that
count, of all classes: an IoU of 0.5 is a match, an IoU of 0.1 makes the detection be about an object at all (t_f and
t_b there). Difficult boxes and crowds are its ignore regions; a detection is in one if exactly half of it is inside, as
in COCO (in tidecv: if more than half is).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from detect.evaluation.analysis.matches import class_agnostic, labels_of, matched_objects, top_of_each_image
from detect.evaluation.assignment import FALSE_POSITIVE, TRUE_POSITIVE, CandidatePairs, assign
from detect.evaluation.columns import BoolArray, EvalColumns, FloatArray, IntArray
from detect.evaluation.predictions import Prediction, require_aligned
from detect.evaluation.rules import COCO_AP50, Rules

if TYPE_CHECKING:
    from detect.data.annotations import Annotations

ERROR_TYPES = ("classification", "localisation", "both", "duplicate", "background", "missed")
CLASSIFICATION, LOCALIZATION, BOTH, DUPLICATE, BACKGROUND, MISSED = range(len(ERROR_TYPES))
NO_ERROR = -1

TIDE = replace(COCO_AP50, recall_grid=tuple(n / 100 for n in range(101)), last_on_ties=False)
MAX_DETECTIONS = 100  # detections of an image that count, of all classes together


@dataclass(frozen=True)
class Errors:
    """The error of each of D detections, and the missed ones of G boxes.

    images (N,): the index in the data of each image of the columns; columns: the detections that count; outcome
    (D,) int8: FALSE_POSITIVE, TRUE_POSITIVE or IGNORED; error_types (D,) int8: an index of ERROR_TYPES, NO_ERROR
    for true positives. (An ignored detection, on a difficult box, has a type too: TIDE counts it, since it would
    find an object if it were correct about it. ``counts`` leaves it out.) about_object (D,): the box that a
    classification or localisation error is about, -1 for others; correctable (D,): whether the detection would be a
    true positive without the error: that box is unmatched, and no better-scored error is about it; matched (G,): by
    a true positive; missed (G,): the box counts, is not matched, and no error is about it.
    """

    classes: tuple[str, ...]
    images: IntArray
    columns: EvalColumns
    outcome: NDArray[np.int8]
    error_types: NDArray[np.int8]
    about_object: IntArray
    correctable: BoolArray
    matched: BoolArray
    missed: BoolArray

    @property
    def counts(self) -> dict[str, int]:
        """The number of false positives of each error type and of missed boxes, by the names in ERROR_TYPES."""
        counts = np.bincount(self.error_types[self.outcome == FALSE_POSITIVE], minlength=len(ERROR_TYPES))
        counts[MISSED] = self.missed.sum()
        return dict(zip(ERROR_TYPES, counts.tolist(), strict=True))


def classify_errors(
    annotations: Annotations, predictions: Sequence[Prediction], iou: float = 0.5, background: float = 0.1
) -> Errors:
    """Classify the errors of predictions, one for each image in the order of the annotations (see ``align``).

    The best 100 detections of each image count. iou and background: TIDE's t_f and t_b. Raises ValueError where the
    lengths differ.
    """
    require_aligned(annotations, predictions)
    rules = replace(TIDE, ious=(iou,))
    columns = top_of_each_image(rules.layout(annotations, predictions), MAX_DETECTIONS)
    ignore = columns.ground_truth.ignore
    outcome = assign(columns, ignore[:, None], rules)[:, 0, 0]
    objects = matched_objects(columns, outcome, rules)
    matched = np.zeros(len(ignore), bool)
    matched[objects[objects >= 0]] = True
    near = _pairs_of_errors(columns, outcome, background)
    error_types, about_object = _error_types(columns, outcome, near, iou, background)
    correctable = _correctable(columns, about_object, matched)
    missed = ~ignore & ~matched
    missed[about_object[about_object >= 0]] = False
    images = np.argsort(annotations.image_ids)
    return Errors(
        annotations.classes, images, columns, outcome, error_types, about_object, correctable, matched, missed
    )


def _pairs_of_errors(columns: EvalColumns, outcome: NDArray[np.int8], background: float) -> CandidatePairs:
    """Return the pairs of detections that are not true positives and boxes of any class that count and overlap them."""
    pairs = class_agnostic(columns, ~columns.ground_truth.ignore).pairs(Rules(ious=(background,)))
    return pairs[outcome[pairs.det_index] != TRUE_POSITIVE]


def _error_types(
    columns: EvalColumns, outcome: NDArray[np.int8], near: CandidatePairs, iou: float, background: float
) -> tuple[NDArray[np.int8], IntArray]:
    """Return the error type of each detection and the box that it is about, by the tests in the order of tidecv."""
    gt_labels = labels_of(columns, columns.ground_truth.groups[near.gt_index])
    same = gt_labels == labels_of(columns, columns.detections.groups[near.det_index])
    same_iou, same_box = _best(near[same], len(outcome))
    other_iou, other_box = _best(near[~same], len(outcome))
    tests = [  # the first that holds decides
        (outcome == TRUE_POSITIVE, NO_ERROR),
        ((background <= same_iou) & (same_iou <= iou), LOCALIZATION),
        (other_iou >= iou, CLASSIFICATION),
        (same_iou >= iou, DUPLICATE),
        (np.maximum(same_iou, other_iou) <= background, BACKGROUND),
    ]
    error_types = np.select([holds for holds, _ in tests], [index for _, index in tests], BOTH).astype(np.int8)
    about_object = np.select([error_types == LOCALIZATION, error_types == CLASSIFICATION], [same_box, other_box], -1)
    return error_types, about_object


def _best(pairs: CandidatePairs, count: int) -> tuple[FloatArray, IntArray]:
    """Return the highest overlap of each of ``count`` detections and the first box that has it; 0 and -1 for none."""
    order = np.lexsort((-pairs.gt_index, pairs.overlaps, pairs.det_index))
    overlaps, boxes = np.zeros(count), np.full(count, -1)
    overlaps[pairs.det_index[order]] = pairs.overlaps[order]  # the last assignment stays
    boxes[pairs.det_index[order]] = pairs.gt_index[order]
    return overlaps, boxes


def _correctable(columns: EvalColumns, about_object: IntArray, matched: BoolArray) -> BoolArray:
    """Return which errors (D,) are the best-scored one, the first of equals, about a box that is not matched."""
    errors = np.flatnonzero(about_object >= 0)
    errors = errors[~matched[about_object[errors]]]
    ranked = errors[np.argsort(-columns.detections.scores[errors], kind="stable")]
    _, first = np.unique(about_object[ranked], return_index=True)
    correctable = np.zeros(len(about_object), bool)
    correctable[ranked[first]] = True
    return correctable
