"""Random data sets in which no two scores are equal, so that the order of equal scores plays no role."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from detect.data.annotations import Annotations
from detect.evaluation.predictions import Prediction
from tests.evaluation.example_data import random_scored_data_set


def untied_data_set(seed: int, unit: float = 0.25) -> tuple[Annotations, list[Prediction]]:
    """Return the data of ``random_scored_data_set``, with scores in 0..1 that are all different."""
    rng = np.random.default_rng(seed)
    annotations, predictions = random_scored_data_set(rng, unit)
    scores = (1 + rng.permutation(sum(map(len, predictions)))) / 1000
    ends = np.cumsum([0, *map(len, predictions)])
    parts = zip(predictions, ends[:-1], ends[1:], strict=True)
    return annotations, [replace(prediction, scores=scores[start:end]) for prediction, start, end in parts]
