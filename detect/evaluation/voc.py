"""Average precision by the rules of the PASCAL VOC development kit (Everingham et al. 2010; VOCevaldet.m, VOCap.m).

For each class the detections of all images are ranked by score, equal scores in the order of images and then of the
results. Each looks at the one ground-truth box of its class in its image that it overlaps most (the first of equals),
whether or not that box is difficult or already taken; there is no second choice. Below the least IoU it is a false
positive. Else, on a difficult box it counts as nothing; on a free box it is a true positive and takes it; on a taken
box it is a false positive. Difficult boxes are not in the number of positives. Our boxes are continuous, so the kit's
+1 on widths and heights is in them already.

Crowd boxes, which VOC does not have, are treated as difficult. Where the kit divides zero by zero (only difficult boxes
found so far) the precision is taken as 0, which changes no maximum; py-faster-rcnn does so too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from detect.evaluation.assignment import NEUTRAL, TRUE, assign
from detect.evaluation.predictions import Prediction, require_fit
from detect.evaluation.rules import VOC07, VOC12, Rules

if TYPE_CHECKING:
    from detect.data.annotations import Annotations

VocMetric = Literal["voc07", "voc12"]
OFFICIAL: dict[VocMetric, Rules] = {"voc07": VOC07, "voc12": VOC12}


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
    """Fractions in 0..1, None where there is nothing to find; mAP is the mean over the classes that have an AP.

    curves: by class, at the first of the rules' IoUs.
    """

    mAP: float | None  # noqa: N815  the field's own spelling
    per_class: dict[str, float | None]
    curves: dict[str, Curve]


def evaluate_voc(annotations: Annotations, predictions: Sequence[Prediction], metric: VocMetric) -> VocResult:
    """Score by the official rules: ``voc07`` takes eleven points of recall, ``voc12`` (VOC2010 and later) the area.

    predictions: one an image, in the annotations' order (``align`` makes them so); ValueError where the lengths differ.
    """
    return evaluate_by_rules(annotations, predictions, OFFICIAL[metric])


def evaluate_by_rules(annotations: Annotations, predictions: Sequence[Prediction], rules: Rules) -> VocResult:
    """``evaluate_voc`` under any rules."""
    require_fit(annotations, predictions)
    case = rules.layout(annotations, predictions).limited(rules.limit)
    lenient, scores = case.truth.lenient, case.found.scores
    outcome = assign(case, lenient[:, None], rules)[:, 0]  # (D, T)
    classes = zip(annotations.classes, case.of_class(case.truth.groups), case.of_class(case.found.groups), strict=True)
    per_class: dict[str, float | None] = {}
    curves: dict[str, Curve] = {}
    for name, boxes, detections in classes:
        ranked = np.argsort(-scores[detections], kind="stable")
        positives = int((~lenient[boxes]).sum())
        at_ious = [_curve(scores[detections][ranked], one, positives) for one in outcome[detections][ranked].T]
        per_class[name] = mean([average_precision(curve, rules.recall_grid) for curve in at_ious])
        curves[name] = at_ious[0]
    return VocResult(mean(list(per_class.values())), per_class, curves)


def average_precision(curve: Curve, recall_grid: tuple[float, ...] | None) -> float | None:
    """AP of one class in 0..1 (see Rules.recall_grid), or None where there is nothing to find."""
    if curve.positives == 0:
        return None
    recall = np.concatenate([[0.0], curve.recall, [1.0]])
    envelope = np.maximum.accumulate(np.concatenate([[0.0], curve.precision, [0.0]])[::-1])[::-1]
    if recall_grid is None:
        return float(np.sum(np.diff(recall) * envelope[1:]))
    at_grid = np.searchsorted(curve.recall, recall_grid, side="left")
    return sum(float(best) / len(recall_grid) for best in envelope[1 + at_grid])


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of those that are known, None where none is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _curve(scores: np.ndarray, outcome: np.ndarray, positives: int) -> Curve:
    """Precision and recall down a ranking of detections with these outcomes."""
    hits = np.cumsum(outcome == TRUE)
    return Curve(
        scores=scores,
        recall=hits / positives if positives else np.zeros(len(hits)),
        precision=hits / np.maximum(np.cumsum(outcome != NEUTRAL), 1),
        positives=positives,
    )
