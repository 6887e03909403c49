"""Average precision by the rules of the PASCAL VOC development kit (Everingham et al. 2010; VOCevaldet.m, VOCap.m).

For each class the detections of all photos are ranked by score, equal scores in the order of photos and then of the
results. Each looks at the one ground-truth box of its class in its photo that it overlaps most (the first of equals),
whether or not that box is difficult or already taken; there is no second choice. Below the least IoU it is a false
positive. Else, on a difficult box it counts as nothing; on a free box it is a true positive and takes it; on a taken
box it is a false positive. Difficult boxes are not in the number of positives. Our boxes are continuous, so the kit's
+1 on widths and heights is in them already.

Crowd boxes, which VOC does not have, are treated as difficult. Where the kit divides zero by zero (only difficult boxes
found so far) the precision is taken as 0, which changes no maximum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from detect.evaluation.predictions import FlatPredictions, Prediction, flatten, require_fit

if TYPE_CHECKING:
    from detect.data.annotations import Annotations

VocMetric = Literal["voc07", "voc12"]

# MATLAB builds 0:0.1:1 from both ends, and its fourth point is 3 * 0.1: a recall of exactly 0.3 misses it.
MATLAB_GRID = (0.0, 0.1, 0.2, 0.30000000000000004, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class VocRules:
    """One reading of the rules.

    least_iou: the IoU of a match; strict: it must be exceeded, reaching it is not enough; recall_grid: AP is the mean
    over these recalls of the best precision at that recall or more, or None: the area under the monotone envelope of
    the precision.
    """

    least_iou: float = 0.5
    strict: bool = False
    recall_grid: tuple[float, ...] | None = None


OFFICIAL: dict[VocMetric, VocRules] = {"voc07": VocRules(recall_grid=MATLAB_GRID), "voc12": VocRules()}


@dataclass(frozen=True)
class Curve:
    """Precision and recall of one class down its ranking.

    scores, recall, precision (D,) float64, best score first; positives: the number of ground-truth boxes to find.
    """

    scores: np.ndarray
    recall: np.ndarray
    precision: np.ndarray
    positives: int


@dataclass(frozen=True)
class VocResult:
    """Fractions in 0..1, None where there is nothing to find; mAP is the mean over the classes that have an AP."""

    mAP: float | None  # noqa: N815  the field's own spelling
    per_class: dict[str, float | None]
    curves: dict[str, Curve]


def evaluate_voc(annotations: Annotations, predictions: Sequence[Prediction], metric: VocMetric) -> VocResult:
    """Score by the official rules: ``voc07`` takes eleven points of recall, ``voc12`` (VOC2010 and later) the area.

    predictions: one a photo, in the annotations' order (``align`` makes them so); ValueError where the lengths differ.
    """
    return evaluate_by_rules(annotations, predictions, OFFICIAL[metric])


def evaluate_by_rules(annotations: Annotations, predictions: Sequence[Prediction], rules: VocRules) -> VocResult:
    """``evaluate_voc`` under any rules."""
    require_fit(annotations, predictions)
    found = flatten(predictions)
    ignored = annotations.difficult | annotations.crowd
    matched = _matches(annotations, found, rules)
    curves: dict[str, Curve] = {}
    for label, name in enumerate(annotations.classes, 1):
        mine = np.flatnonzero(found.labels == label)
        ranked = mine[np.argsort(-found.scores[mine], kind="stable")]
        positives = int(((annotations.labels == label) & ~ignored).sum())
        curves[name] = _curve(found.scores[ranked], matched[ranked], ignored, positives)
    per_class = {name: average_precision(curve, rules.recall_grid) for name, curve in curves.items()}
    known = [ap for ap in per_class.values() if ap is not None]
    return VocResult(sum(known) / len(known) if known else None, per_class, curves)


def average_precision(curve: Curve, recall_grid: tuple[float, ...] | None) -> float | None:
    """AP of one class in 0..1 (see VocRules.recall_grid), or None where there is nothing to find."""
    if curve.positives == 0:
        return None
    recall = np.concatenate([[0.0], curve.recall, [1.0]])
    envelope = np.maximum.accumulate(np.concatenate([[0.0], curve.precision, [0.0]])[::-1])[::-1]
    if recall_grid is None:
        return float(np.sum(np.diff(recall) * envelope[1:]))
    at_grid = np.searchsorted(curve.recall, recall_grid, side="left")
    return sum(float(best) / len(recall_grid) for best in envelope[1 + at_grid])


def _curve(scores: np.ndarray, matched: np.ndarray, ignored: np.ndarray, positives: int) -> Curve:
    """Precision and recall down a ranking; matched (D,): the ground-truth box that each detection reached, or -1."""
    counts = np.ones(len(matched), bool)
    counts[matched >= 0] = ~ignored[matched[matched >= 0]]
    candidates = np.flatnonzero(counts & (matched >= 0))
    true = np.zeros(len(matched), bool)
    true[candidates[np.unique(matched[candidates], return_index=True)[1]]] = True  # the first to reach a box takes it
    hits = np.cumsum(true)
    return Curve(
        scores=scores,
        recall=hits / positives if positives else np.zeros(len(hits)),
        precision=hits / np.maximum(np.cumsum(counts), 1),
        positives=positives,
    )


def _matches(annotations: Annotations, found: FlatPredictions, rules: VocRules) -> np.ndarray:
    """The place of the ground-truth box of its photo and class that each detection overlaps most; -1 below the IoU."""
    classes = len(annotations.classes) + 1
    truth_group = np.repeat(np.arange(len(annotations)), np.diff(annotations.offsets)) * classes + annotations.labels
    order = np.argsort(truth_group, kind="stable")
    found_group = found.images * classes + found.labels
    group_sizes = np.bincount(truth_group, minlength=len(annotations) * classes)
    count = group_sizes[found_group]
    matched = np.full(len(found_group), -1, np.int64)
    rows = np.flatnonzero(count)
    if len(rows) == 0:
        return matched

    count = count[rows]
    starts = np.cumsum(count) - count
    first = (np.cumsum(group_sizes) - group_sizes)[found_group[rows]]
    pairs = np.arange(count.sum()) - np.repeat(starts - first, count)  # all boxes of a detection's group, in file order
    iou = _iou(found.boxes[np.repeat(rows, count)], annotations.boxes[order[pairs]])
    best = np.maximum.reduceat(iou, starts)
    winners = np.where(iou == np.repeat(best, count), pairs, len(order))
    near = best > rules.least_iou if rules.strict else best >= rules.least_iou
    matched[rows[near]] = order[np.minimum.reduceat(winners, starts)[near]]
    return matched


def _iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of boxes (P, 4) with boxes (P, 4), pair by pair."""
    sides = np.maximum(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0.0)
    shared = sides[:, 0] * sides[:, 1]
    union = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1]) + (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) - shared
    iou: np.ndarray = np.divide(shared, union, out=np.zeros(len(a)), where=shared > 0)
    return iou
