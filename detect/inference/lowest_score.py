"""Says where a score that is asked for is below the lowest one that a model gives."""

from __future__ import annotations

from detect.inference.predictor import Predictor
from detect.inference.runtimes.graph_detector import GraphDetector


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
