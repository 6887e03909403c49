"""Precision and recall of every class, area range, IoU and limit of detections, as pycocotools tabulates them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detect.evaluation.assignment import FALSE_POSITIVE, TRUE_POSITIVE, assign
from detect.evaluation.columns import BoolArray, EvalColumns, FloatArray
from detect.evaluation.rules import COCO_AP

AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
_IOUS, _RECALLS = np.array(COCO_AP.ious), np.array(COCO_AP.recall_grid)


@dataclass(frozen=True)
class CocoTables:
    """Precision and recall as fractions in 0..1, NaN where a class has no ground truth of that size.

    precision (K, A, T, R): the best precision at each of R recalls or beyond, for the largest limit; recall
    (K, L, A, T): the highest recall for each of L limits. K classes, A areas as in AREAS, T IoUs.
    """

    precision: FloatArray
    recall: FloatArray


def tabulate(columns: EvalColumns, limits: Sequence[int]) -> CocoTables:
    """Return the tables for limits of detections of a class in an image, in ascending order.

    A box whose area is outside of a range (both ends belong to it) is ignored in that range, and so is a difficult or
    crowd box; a detection that matches no box counts only if its own area is in the range.
    """
    columns = columns.limit_detections(limits[-1])
    ground_truth, detections = columns.ground_truth, columns.detections
    ignored = ground_truth.ignore[:, None] | ~in_area_ranges(ground_truth.areas)
    outcome = assign(columns, ignored, COCO_AP)
    true = outcome == TRUE_POSITIVE
    counted = true | ((outcome == FALSE_POSITIVE) & in_area_ranges(detections.boxes.areas)[:, :, None])
    precision = np.full((columns.num_classes, len(AREAS), len(_IOUS), len(_RECALLS)), np.nan)
    recall = np.full((columns.num_classes, len(limits), len(AREAS), len(_IOUS)), np.nan)
    class_rows = zip(columns.class_slices(ground_truth.groups), columns.class_slices(detections.groups), strict=True)
    for k, (boxes, rows) in enumerate(class_rows):
        positives = (~ignored[boxes]).sum(axis=0)
        has_positives = positives > 0
        ranks = detections.ranks[rows]
        for m, limit in enumerate(limits):
            true_positives = true[rows][ranks < limit].sum(axis=0)
            recall[k, m, has_positives] = true_positives[has_positives] / positives[has_positives, None]
        ranked = np.argsort(-detections.scores[rows], kind="stable")
        ranked_true, ranked_counted = true[rows][ranked], counted[rows][ranked]
        for area in np.flatnonzero(has_positives):
            precision[k, area] = _precision_at_recalls(
                ranked_true[:, area], ranked_counted[:, area], int(positives[area])
            )
    return CocoTables(precision, recall)


def in_area_ranges(areas: FloatArray) -> BoolArray:
    """Return which of the ranges in AREAS hold each area: (N,) -> (N, A)."""
    low, high = np.array(list(AREAS.values())).T
    inside: BoolArray = (areas[:, None] >= low) & (areas[:, None] <= high)
    return inside


def _precision_at_recalls(true: BoolArray, counted: BoolArray, positives: int) -> NDArray[np.float64]:
    """Return the best precision at each recall or beyond, (T, R), of a ranking (D, T); 0 where it is not reached.

    Precision has its peaks at the true positives, so that only these rows are evaluated.
    """
    # The n-th true positive is the first to reach a recall of n / positives.
    needed = np.searchsorted(np.arange(1, positives + 1) / positives, _RECALLS, side="left")
    totals = np.cumsum(counted, axis=0, dtype=np.int32)
    best = np.zeros((true.shape[1], len(_RECALLS)))
    for iou, row in enumerate(best):
        true_positives = np.flatnonzero(true[:, iou])
        precision = np.arange(1, len(true_positives) + 1) / (totals[true_positives, iou] + np.spacing(1.0))
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        reached = needed < len(true_positives)
        row[reached] = envelope[needed[reached]]
    return best
