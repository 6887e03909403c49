"""Which object each detection was matched to, by the rules that score it."""

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
    objects: ImageAnnotation, found: Prediction, classes: tuple[str, ...], metric: Metric
) -> list[dict[str, Any]]:
    """Of each detection of an image, in their order: ``outcome``, and the ``box`` and ``object`` (its place from 1)
    that it took; None where it took none, or the metric does not count it.
    """
    rules = METRIC_RULES[metric]
    judged = match(Annotations.from_images([objects], classes), [found], rules)
    outcome = judged.outcome[:, 0]
    taken = matched_objects(judged.columns, outcome, rules)
    order = np.lexsort((-found.scores, found.labels))  # as evaluation/columns.py orders the detections of an image
    counted = order if rules.limit is None else order[rank_in_group(found.labels[order]) < rules.limit]
    rows = np.argsort(objects.labels, kind="stable")
    told: list[dict[str, Any]] = [{"outcome": "not counted: too many of a class", "object": None, "box": None}] * len(
        found
    )
    for place, kind, box in zip(counted.tolist(), outcome.tolist(), taken.tolist(), strict=True):
        row = int(rows[box])
        told[place] = {
            "outcome": OUTCOMES[kind],
            "object": None if box < 0 else row + 1,
            "box": None if box < 0 else objects.boxes[row].tolist(),
        }
    return told
