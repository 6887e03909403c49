"""The results in a report: the metrics of a model, their confidence intervals, and its errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detect.data.annotations import Annotations
from detect.evaluation.analysis.bootstrap import MIN_IMAGES, Interval, bootstrap
from detect.evaluation.analysis.by_attribute import RangeScore, score_ranges
from detect.evaluation.analysis.calibration import Calibration, calibration
from detect.evaluation.analysis.confusion import Confusion, confusion
from detect.evaluation.analysis.error_costs import TIDEResult, compute_dap
from detect.evaluation.analysis.error_types import Errors, classify_errors
from detect.evaluation.analysis.matches import METRIC_RULES, images_with_objects, labels_of, match
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
class ClassResults:
    """The results of one class.

    objects: those that count; images: those that have such objects; detections: those that count; ap: by the metric,
    with its 95% interval, None where there is no ground truth; best: the score threshold of best F1, None where no
    object is found.
    """

    name: str
    objects: int
    images: int
    detections: int
    ap: Interval | None
    best: BestThreshold | None

    @property
    def has_few_images(self) -> bool:
        """Return whether the images are too few for an interval, which is then too narrow."""
        return self.images < MIN_IMAGES


@dataclass(frozen=True)
class EvaluationResults:
    """All results. mean: the metric's mean AP with its interval; the rest as in ``detect.evaluation.analysis``."""

    score: Score
    mean: Interval | None
    classes: tuple[ClassResults, ...]
    objects: int
    precision_recall: PrecisionRecall
    confusion: Confusion
    errors: Errors
    tide: TIDEResult
    calibration: Calibration
    ranges: dict[str, dict[str, RangeScore]]

    @property
    def thresholds(self) -> dict[str, float]:
        """The score threshold of best F1 by class name, infinite where there is none."""
        return {class_.name: float("inf") if class_.best is None else class_.best.score for class_ in self.classes}


def compute_results(annotations: Annotations, predictions: Sequence[Prediction], metric: Metric) -> EvaluationResults:
    """Compute everything that can be computed from boxes alone.

    predictions: one for each image in the order of the annotations (``align`` returns them so). Raises ValueError where
    the lengths differ.
    """
    score = evaluate(annotations, predictions, metric)
    matches = match(annotations, predictions, METRIC_RULES[metric])
    intervals, by_class = bootstrap(matches), curves(matches)
    labels = labels_of(matches.columns, matches.columns.detections.groups)
    counts = np.bincount(labels, minlength=len(matches.classes) + 1)
    images = images_with_objects(matches)
    classes = tuple(
        ClassResults(
            name=name,
            objects=curve.positives,
            images=images[name],
            detections=int(counts[label]),
            ap=intervals.per_class[name],
            best=best_threshold(curve),
        )
        for label, (name, curve) in enumerate(by_class.items(), start=1)
    )
    errors = classify_errors(annotations, predictions)
    return EvaluationResults(
        score=score,
        mean=intervals.mAP,
        classes=classes,
        objects=sum(class_.objects for class_ in classes),
        precision_recall=precision_recall(by_class),
        confusion=confusion(annotations, predictions, CONFUSION_SCORE),
        errors=errors,
        tide=compute_dap(errors),
        calibration=calibration(matches),
        ranges=score_ranges(matches),
    )
