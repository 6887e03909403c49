"""Matches each detection to an object, by the rules of the metric that scores the model."""

from __future__ import annotations

from typing import Any

import numpy as np

from detect.data.annotations import Annotations, ImageAnnotation
from detect.evaluation.analysis.matches import METRIC_RULES, match, matched_objects
from detect.evaluation.assignment import FALSE_POSITIVE, IGNORED, TRUE_POSITIVE
from detect.evaluation.columns import rank_in_group
from detect.evaluation.predictions import Prediction
from detect.evaluation.score import Metric

OUTCOMES = {TRUE_POSITIVE: "found", FALSE_POSITIVE: "found nothing", IGNORED: "not counted: difficult or a crowd"}


def match_detections(
    objects: ImageAnnotation, prediction: Prediction, classes: tuple[str, ...], metric: Metric
) -> list[dict[str, Any]]:
    """Return the match of each detection of an image, in their order.

    A match has the ``outcome``, and the ``box`` (in the image's pixels) and the number of the ``object`` (from 1) that
    the detection is matched to; both are None where there is none, or the metric does not count the detection.
    """
    rules = METRIC_RULES[metric]
    matches = match(Annotations.from_images([objects], classes), [prediction], rules)
    outcome = matches.outcome[:, 0]
    object_rows = matched_objects(matches.columns, outcome, rules)
    order = np.lexsort((-prediction.scores, prediction.labels))  # the order of evaluation.columns within an image
    counted = order if rules.limit is None else order[rank_in_group(prediction.labels[order]) < rules.limit]
    rows = np.argsort(objects.labels, kind="stable")
    not_counted = {"outcome": "not counted: too many of a class", "object": None, "box": None}
    matched: list[dict[str, Any]] = [not_counted] * len(prediction)
    for index, kind, object_row in zip(counted.tolist(), outcome.tolist(), object_rows.tolist(), strict=True):
        row = int(rows[object_row])
        matched[index] = {
            "outcome": OUTCOMES[kind],
            "object": None if object_row < 0 else row + 1,
            "box": None if object_row < 0 else objects.boxes[row].tolist(),
        }
    return matched
