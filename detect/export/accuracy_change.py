"""What a change of a model, as int8, does to its mAP on a labelled split."""

from __future__ import annotations

from dataclasses import dataclass, replace

from detect.config import Config
from detect.config.builders.data import default_metric, read_split_for_model
from detect.data.annotations import Annotations
from detect.data.sources import select
from detect.errors import UserError
from detect.evaluation.analysis.compare_runs import RunComparison, compare_runs
from detect.evaluation.analysis.matches import METRIC_RULES, match
from detect.evaluation.score import Score
from detect.evaluation.score import evaluate as score_predictions
from detect.inference.evaluate_dataset import predict_dataset
from detect.inference.predictor import Predictor


@dataclass(frozen=True)
class AccuracyChange:
    """The scores of a model before and after a change on the same images, and their comparison.

    unreadable: a line for each image that cannot be read, which is in neither score; notes: lines on the split.
    """

    num_images: int
    before: Score
    after: Score
    comparison: RunComparison
    unreadable: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def accuracy_change(before: Predictor, after: Predictor, config: Config) -> tuple[AccuracyChange | None, str]:
    """Return the change of the scores on the validation split; where there are none, None and the reason."""
    try:
        annotations, notes = read_split_for_model(config, "val", before.classes)
    except UserError as error:
        return None, str(error)
    if not len(annotations.boxes):
        return None, f"{config.data.root}: expected labelled objects to score, found none"
    return replace(_compare(before, after, annotations, config), notes=notes), ""


def mean_ap(predictor: Predictor, labelled: Annotations, config: Config) -> float:
    """Return the mAP on the labelled photos that can be read; 0 where there are no objects."""
    passed = predict_dataset(predictor, labelled, config)
    readable = _readable(len(labelled), passed.unread)
    predictions = [passed.predictions[index] for index in readable]
    return score_predictions(select(labelled, readable), predictions, default_metric(config)).primary or 0.0


def _compare(before: Predictor, after: Predictor, annotations: Annotations, config: Config) -> AccuracyChange:
    """Score both on the images that can be read: one without detections in both would make the change look smaller."""
    metric = default_metric(config)
    passes = [predict_dataset(predictor, annotations, config) for predictor in (before, after)]
    readable = _readable(len(annotations), passes[0].unread)
    images = select(annotations, readable)
    runs = [[passed.predictions[index] for index in readable] for passed in passes]
    scores = [score_predictions(images, predictions, metric) for predictions in runs]
    matches = [match(images, predictions, METRIC_RULES[metric]) for predictions in runs]
    files = [images.file(index) for index in range(len(images))]
    return AccuracyChange(
        num_images=len(images),
        before=scores[0],
        after=scores[1],
        comparison=compare_runs(matches[0], matches[1], files),
        unreadable=passes[0].unreadable,
    )


def _readable(num_images: int, unread: tuple[int, ...]) -> list[int]:
    return sorted(set(range(num_images)).difference(unread))
