"""Drawn data sets without ties of score, where every order of equals gives the same numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from detect.data.annotations import Annotations
from detect.evaluation.predictions import Prediction
from tests.evaluation.cases import drawn_data_set


def untied_data_set(seed: int, unit: float = 0.25) -> tuple[Annotations, list[Prediction]]:
    """As ``drawn_data_set``, with scores in 0..1 that are all different."""
    rng = np.random.default_rng(seed)
    annotations, predictions = drawn_data_set(rng, unit)
    scores = (1 + rng.permutation(sum(map(len, predictions)))) / 1000
    ends = np.cumsum([0, *map(len, predictions)])
    parts = zip(predictions, ends[:-1], ends[1:], strict=True)
    return annotations, [replace(one, scores=scores[start:end]) for one, start, end in parts]
