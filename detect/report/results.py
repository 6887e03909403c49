"""The numbers of a report: what a model's detections are worth, how sure that is, and what they get wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detect.data.annotations import Annotations
from detect.evaluation.analysis.bootstrap import Interval, bootstrap
from detect.evaluation.analysis.by_attribute import RangeScore, score_ranges
from detect.evaluation.analysis.calibration import Calibration, calibration
from detect.evaluation.analysis.confusion import Confusion, confusion
from detect.evaluation.analysis.error_costs import ErrorCosts, error_costs
from detect.evaluation.analysis.error_types import Errors, find_errors
from detect.evaluation.analysis.matches import METRIC_RULES, labels_of, match
from detect.evaluation.analysis.precision_recall import (
    BestThreshold,
    PrecisionRecall,
    best_threshold,
    curves,
    precision_recall,
)
from detect.evaluation.predictions import Prediction
from detect.evaluation.score import Metric, Score, evaluate

CONFUSION_SCORE = 0.5


@dataclass(frozen=True)
class ClassFindings:
    """Of one class: objects to find; detections that count; ap: by the metric, with its 95% interval, None where there
    is nothing to find; best: the cut of highest F1, None where nothing is found.
    """

    name: str
    objects: int
    detections: int
    ap: Interval | None
    best: BestThreshold | None


@dataclass(frozen=True)
class Findings:
    """mean: the metric's mean AP with its interval; the rest as ``detect.evaluation.analysis`` says."""

    score: Score
    mean: Interval | None
    classes: tuple[ClassFindings, ...]
    objects: int
    precision_recall: PrecisionRecall
    confusion: Confusion
    errors: Errors
    costs: ErrorCosts
    calibration: Calibration
    ranges: dict[str, dict[str, RangeScore]]

    @property
    def thresholds(self) -> dict[str, float]:
        """The score of best F1 by class, infinite where there is none."""
        return {one.name: float("inf") if one.best is None else one.best.score for one in self.classes}


def find(annotations: Annotations, predictions: Sequence[Prediction], metric: Metric) -> Findings:
    """Everything that boxes alone tell.

    predictions: one an image in the annotations' order (``align`` makes them so). ValueError where the lengths differ.
    """
    score = evaluate(annotations, predictions, metric)
    matches = match(annotations, predictions, METRIC_RULES[metric])
    intervals, by_class = bootstrap(matches), curves(matches)
    counts = np.bincount(labels_of(matches.case, matches.case.found.groups), minlength=len(matches.classes) + 1)
    classes = tuple(
        ClassFindings(name, curve.positives, int(counts[label]), intervals.per_class[name], best_threshold(curve))
        for label, (name, curve) in enumerate(by_class.items(), start=1)
    )
    errors = find_errors(annotations, predictions)
    return Findings(
        score=score,
        mean=intervals.mAP,
        classes=classes,
        objects=sum(one.objects for one in classes),
        precision_recall=precision_recall(by_class),
        confusion=confusion(annotations, predictions, CONFUSION_SCORE),
        errors=errors,
        costs=error_costs(errors),
        calibration=calibration(matches),
        ranges=score_ranges(matches),
    )
