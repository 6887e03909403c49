"""Precision and recall of every class, area range, IoU and limit of detections, as pycocotools tabulates them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detect.evaluation.assignment import FALSE, TRUE, assign
from detect.evaluation.columns import Case, Flags, Floats
from detect.evaluation.rules import COCO_AP

AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
_IOUS, _RECALLS = np.array(COCO_AP.ious), np.array(COCO_AP.recall_grid)


@dataclass(frozen=True)
class CocoTables:
    """Fractions in 0..1, NaN where a class has nothing of that size to find.

    precision (K, A, T, R): the best at each of R recalls or beyond, by the largest limit; recall (K, L, A, T): the
    highest that L limits reach. K classes, A areas as in AREAS, T IoUs.
    """

    precision: Floats
    recall: Floats


def tabulate(case: Case, limits: Sequence[int]) -> CocoTables:
    """Score a case by limits in ascending order.

    A box outside of the range of areas (both ends are in it) need not be found, and so need not a lenient one; a
    detection without a box counts only if its own area is in the range.
    """
    case = case.limited(limits[-1])
    truth, found = case.truth, case.found
    ignored = truth.lenient[:, None] | ~_in_range(truth.areas)
    outcome = assign(case, ignored, COCO_AP)
    true = outcome == TRUE
    counted = true | ((outcome == FALSE) & _in_range(found.boxes.areas)[:, :, None])
    precision = np.full((case.classes, len(AREAS), len(_IOUS), len(_RECALLS)), np.nan)
    recall = np.full((case.classes, len(limits), len(AREAS), len(_IOUS)), np.nan)
    for k, (boxes, detections) in enumerate(zip(case.of_class(truth.groups), case.of_class(found.groups), strict=True)):
        positives = (~ignored[boxes]).sum(axis=0)
        known = positives > 0
        ranks = found.ranks[detections]
        for m, limit in enumerate(limits):
            reached = true[detections][ranks < limit].sum(axis=0)
            recall[k, m, known] = reached[known] / positives[known, None]
        ranked = np.argsort(-found.scores[detections], kind="stable")
        hits, weights = true[detections][ranked], counted[detections][ranked]
        for area in np.flatnonzero(known):
            precision[k, area] = _at_recalls(hits[:, area], weights[:, area], int(positives[area]))
    return CocoTables(precision, recall)


def _in_range(areas: Floats) -> Flags:
    """Which of the ranges hold each area: (N, A)."""
    low, high = np.array(list(AREAS.values())).T
    inside: Flags = (areas[:, None] >= low) & (areas[:, None] <= high)
    return inside


def _at_recalls(true: Flags, counted: Flags, positives: int) -> NDArray[np.float64]:
    """The best precision at each recall or beyond, (T, R), of a ranking (D, T); 0 where that is not reached.

    Precision peaks at the true detections, so that only these are looked at.
    """
    # The n-th true detection is the first to reach a recall of n / positives.
    needed = np.searchsorted(np.arange(1, positives + 1) / positives, _RECALLS, side="left")
    totals = np.cumsum(counted, axis=0, dtype=np.int32)
    best = np.zeros((true.shape[1], len(_RECALLS)))
    for iou, row in enumerate(best):
        places = np.flatnonzero(true[:, iou])
        precision = np.arange(1, len(places) + 1) / (totals[places, iou] + np.spacing(1.0))
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        within = needed < len(places)
        row[within] = envelope[needed[within]]
    return best
