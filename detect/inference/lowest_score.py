"""Says which scores the results have: the lowest of each format and of the model, and the counts above and below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from detect.evaluation.predictions import Prediction
from detect.inference.predictor import Predictor
from detect.inference.result_formats import SHOWN_SCORE
from detect.inference.runtimes.graph_detector import GraphDetector
from detect.system.numbers import format_count


def describe_lowest_score(predictor: Predictor, score: float) -> list[str]:
    """Return the line on a score that is below the model's threshold, and what lowers that; none for another score."""
    threshold = predictor.config.model.postprocess.score_threshold
    if score >= threshold:
        return []
    key = "model.postprocess.score_threshold"
    dropped = f"score {score:g}: the model drops detections that score less than {threshold:g} ({key})"
    if isinstance(predictor.detector, GraphDetector):
        return [f"{dropped}, which is a part of its graph"]
    return [f"{dropped}: --set {key}={score:g} keeps them"]


def describe_format_scores(scores: Mapping[str, float]) -> list[str]:
    """Return the line on the lowest score of each format where they are for scoring, whose default is another."""
    if set(scores.values()) <= {SHOWN_SCORE}:
        return []
    by_score = {score: [name for name in scores if scores[name] == score] for score in sorted(set(scores.values()))}
    texts = [f"{score:g} in {' and '.join(names)}" for score, names in by_score.items()]
    return [f"lowest score: {', '.join(texts)}, as coco and voc are for scoring (--score sets one for all)"]


def count_by_score(predictions: Sequence[Prediction], score: float | None) -> str:
    """Return how many detections score at least ``score``, and how many less, which some formats have, as text.

    None: each class has a score of its own, which all detections reach.
    """
    count = sum(int((prediction.scores >= (score or 0.0)).sum()) for prediction in predictions)
    num_below = sum(map(len, predictions)) - count
    lowest = "the score of its class" if score is None else f"{score:g}"
    below = f" and {num_below} below" if num_below else ""
    return f"{format_count(count, 'detection that scores', 'detections that score')} {lowest} or more{below}"
