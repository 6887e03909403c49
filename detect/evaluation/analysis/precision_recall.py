"""Precision-recall curves of each class, and the score threshold of best F1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from detect.evaluation.analysis.matches import Matches, rankings
from detect.evaluation.columns import FloatArray
from detect.evaluation.voc import Curve, make_curve


def curves(matches: Matches) -> dict[str, Curve]:
    """Return the precision and recall of each class along its ranking, at the first IoU of the rules."""
    columns = matches.columns
    of_class = columns.class_slices(columns.ground_truth.groups)
    by_class = {}
    for name, rows, boxes in zip(matches.classes, rankings(matches), of_class, strict=True):
        positives = int((~columns.ground_truth.ignore[boxes]).sum())
        by_class[name] = make_curve(columns.detections.scores[rows], matches.outcome[rows, 0], positives)
    return by_class


@dataclass(frozen=True)
class PrecisionRecall:
    """Curves as arrays: recalls (R,) from 0 to 1; precision (K, R) and its mean over the classes (R,).

    The precision is the best at that recall or beyond, 0 where it is not reached, NaN where there is no ground truth.
    """

    recalls: FloatArray
    precision: FloatArray
    mean: FloatArray


def precision_recall(curves: Mapping[str, Curve], points: int = 101) -> PrecisionRecall:
    """Sample every curve at the same evenly spaced recalls (101 points: COCO's)."""
    recalls = np.arange(points) / max(points - 1, 1)
    precision = np.stack([np.zeros(points), *(_envelope(curve, recalls) for curve in curves.values())])[1:]
    valid = precision[~np.isnan(precision).any(axis=1)]
    return PrecisionRecall(recalls, precision, valid.mean(axis=0) if len(valid) else np.full(points, np.nan))


def _envelope(curve: Curve, recalls: FloatArray) -> FloatArray:
    """Return the best precision (R,) at each recall (R,) or beyond."""
    if curve.positives == 0:
        return np.full(len(recalls), np.nan)
    best = np.maximum.accumulate(np.append(curve.precision, 0.0)[::-1])[::-1]
    return best[np.searchsorted(curve.recall, recalls, side="left")]


@dataclass(frozen=True)
class BestThreshold:
    """A score threshold, and F1, precision and recall of the detections that reach it; fractions in 0..1."""

    score: float
    f1: float
    precision: float
    recall: float


def best_threshold(curve: Curve) -> BestThreshold | None:
    """Return the highest score at which F1, the harmonic mean of precision and recall, has its maximum.

    Returns None where there is no ground truth or none of it is found.
    """
    reachable = np.append(curve.scores[1:] != curve.scores[:-1], True)[
        : len(curve.scores)
    ]  # equal scores pass together
    precision, recall = curve.precision[reachable], curve.recall[reachable]
    if not recall.any():
        return None
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros(len(total)), where=total > 0)
    best = int(np.argmax(f1))
    return BestThreshold(
        score=float(curve.scores[reachable][best]),
        f1=float(f1[best]),
        precision=float(precision[best]),
        recall=float(recall[best]),
    )
