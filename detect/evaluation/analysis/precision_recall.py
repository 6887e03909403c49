"""Precision and recall of each class, and the score at which to cut it off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from detect.evaluation.analysis.matches import Matches, rankings
from detect.evaluation.assignment import NEUTRAL, TRUE
from detect.evaluation.columns import Floats
from detect.evaluation.voc import Curve


def curves(matches: Matches, iou: int = 0) -> dict[str, Curve]:
    """Precision and recall down the ranking of each class, at one of the rules' IoUs by its place."""
    lenient = matches.case.truth.lenient
    of_class = matches.case.of_class(matches.case.truth.groups)
    by_class = {}
    for name, rows, boxes in zip(matches.classes, rankings(matches), of_class, strict=True):
        positives = int((~lenient[boxes]).sum())
        outcome = matches.outcome[rows, iou]
        hits = np.cumsum(outcome == TRUE)
        precision = hits / np.maximum(np.cumsum(outcome != NEUTRAL), 1)
        by_class[name] = Curve(matches.case.found.scores[rows], hits / max(positives, 1), precision, positives)
    return by_class


@dataclass(frozen=True)
class PrecisionRecall:
    """Curves as arrays: recalls (R,) from 0 to 1; precision (K, R) and its mean over the classes (R,).

    The precision is the best at that recall or beyond, 0 where it is not reached, NaN where there is nothing to find.
    """

    recalls: Floats
    precision: Floats
    mean: Floats


def precision_recall(curves: Mapping[str, Curve], points: int = 101) -> PrecisionRecall:
    """Every curve at the same recalls, evenly spaced (101: COCO's)."""
    recalls = np.arange(points) / max(points - 1, 1)
    precision = np.stack([np.zeros(points), *(_envelope(curve, recalls) for curve in curves.values())])[1:]
    known = precision[~np.isnan(precision).any(axis=1)]
    return PrecisionRecall(recalls, precision, known.mean(axis=0) if len(known) else np.full(points, np.nan))


def _envelope(curve: Curve, recalls: Floats) -> Floats:
    if curve.positives == 0:
        return np.full(len(recalls), np.nan)
    best = np.maximum.accumulate(np.append(curve.precision, 0.0)[::-1])[::-1]
    return best[np.searchsorted(curve.recall, recalls, side="left")]


@dataclass(frozen=True)
class BestThreshold:
    """The score at which, and what detections of at least that score are worth; fractions in 0..1."""

    score: float
    f1: float
    precision: float
    recall: float


def best_threshold(curve: Curve) -> BestThreshold | None:
    """Where F1, the harmonic mean of precision and recall, is highest: the highest such score.

    None where there is nothing to find or nothing of it is found.
    """
    reachable = np.append(curve.scores[1:] != curve.scores[:-1], True)[: len(curve.scores)]  # equal scores go together
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
