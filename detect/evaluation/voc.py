"""Average precision by the rules of the PASCAL VOC development kit (Everingham et al. 2010; VOCevaldet.m, VOCap.m).

For each class the detections of all images are ranked by score, equal scores in the order of images and then of the
results. Each detection is compared with the one ground-truth box of its class in its image that it overlaps most (the
first of equals), even if that box is difficult or already matched; there is no second choice. Below the IoU threshold
the detection is a false positive. Otherwise, on a difficult box it is ignored; on an unmatched box it is a true
positive and the box is matched; on a matched box it is a false positive. Difficult boxes are not in the number of
positives. Boxes are continuous here, so that the kit's +1 on widths and heights is in them already.

Crowd boxes, which VOC does not have, are treated as difficult. Where the kit divides zero by zero (only difficult boxes
found so far) the precision is taken as 0, which changes no maximum; py-faster-rcnn does the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from detect.evaluation.assignment import IGNORED, TRUE_POSITIVE, assign
from detect.evaluation.predictions import Prediction, require_aligned
from detect.evaluation.rules import VOC07, VOC12, Rules

if TYPE_CHECKING:
    from detect.data.annotations import Annotations

VocMetric = Literal["voc07", "voc12"]
OFFICIAL: dict[VocMetric, Rules] = {"voc07": VOC07, "voc12": VOC12}


@dataclass(frozen=True)
class Curve:
    """Precision and recall of one class after each detection of its ranking.

    scores, recall, precision (D,) float64, best score first; positives: the number of ground-truth boxes to find.
    """

    scores: np.ndarray
    recall: np.ndarray
    precision: np.ndarray
    positives: int


@dataclass(frozen=True)
class VocResult:
    """VOC's metrics: fractions in 0..1, None where there is no ground truth.

    mAP: the mean over the classes that have an AP; curves: by class, at the first of the rules' IoUs.
    """

    mAP: float | None  # noqa: N815  the field's own spelling
    per_class: dict[str, float | None]
    curves: dict[str, Curve]


def evaluate_voc(annotations: Annotations, predictions: Sequence[Prediction], metric: VocMetric) -> VocResult:
    """Score by the official rules: ``voc07`` takes eleven points of recall, ``voc12`` (VOC2010 and later) the area.

    predictions: one for each image in the order of the annotations (``align`` returns them so). Raises ValueError where
    the lengths differ.
    """
    return evaluate_by_rules(annotations, predictions, OFFICIAL[metric])


def evaluate_by_rules(annotations: Annotations, predictions: Sequence[Prediction], rules: Rules) -> VocResult:
    """Score by any rules; otherwise as ``evaluate_voc``."""
    require_aligned(annotations, predictions)
    columns = rules.layout(annotations, predictions).limit_detections(rules.limit)
    ground_truth, detections = columns.ground_truth, columns.detections
    outcome = assign(columns, ground_truth.ignore[:, None], rules)[:, 0]  # (D, T)
    class_rows = zip(columns.class_slices(ground_truth.groups), columns.class_slices(detections.groups), strict=True)
    per_class: dict[str, float | None] = {}
    curves: dict[str, Curve] = {}
    for name, (boxes, rows) in zip(annotations.classes, class_rows, strict=True):
        ranked = np.argsort(-detections.scores[rows], kind="stable")
        positives = int((~ground_truth.ignore[boxes]).sum())
        scores = detections.scores[rows][ranked]
        iou_curves = [make_curve(scores, at_iou, positives) for at_iou in outcome[rows][ranked].T]
        per_class[name] = mean([average_precision(curve, rules.recall_grid) for curve in iou_curves])
        curves[name] = iou_curves[0]
    return VocResult(mean(list(per_class.values())), per_class, curves)


def average_precision(curve: Curve, recall_grid: tuple[float, ...] | None) -> float | None:
    """Return the AP of one class in 0..1 (see Rules.recall_grid), None where there is no ground truth."""
    if curve.positives == 0:
        return None
    recall = np.concatenate([[0.0], curve.recall, [1.0]])
    envelope = np.maximum.accumulate(np.concatenate([[0.0], curve.precision, [0.0]])[::-1])[::-1]
    if recall_grid is None:
        return float(np.sum(np.diff(recall) * envelope[1:]))
    at_grid = np.searchsorted(curve.recall, recall_grid, side="left")
    return sum(float(best) / len(recall_grid) for best in envelope[1 + at_grid])


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that are not None, None where all are."""
    numbers = [value for value in values if value is not None]
    return sum(numbers) / len(numbers) if numbers else None


def make_curve(scores: np.ndarray, outcome: np.ndarray, positives: int) -> Curve:
    """Return the curve of a ranking: scores (D,), best first, and outcomes (D,) of ``assign``."""
    true_positives = np.cumsum(outcome == TRUE_POSITIVE)
    return Curve(
        scores=scores,
        recall=true_positives / positives if positives else np.zeros(len(true_positives)),
        precision=true_positives / np.maximum(np.cumsum(outcome != IGNORED), 1),
        positives=positives,
    )
