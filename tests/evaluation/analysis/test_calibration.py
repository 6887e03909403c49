from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.evaluation.analysis.calibration import calibration
from detect.evaluation.analysis.matches import labels_of, match
from detect.evaluation.assignment import IGNORED, TRUE_POSITIVE
from detect.evaluation.rules import VOC12
from tests.evaluation.example_data import data_set, random_scored_data_set

A, B, FAR = (0.0, 0.0, 100.0, 100.0), (200.0, 0.0, 300.0, 100.0), (0.0, 200.0, 50.0, 250.0)
CAT, DOG = 1, 2

# (truth, found), detections in each of two bins, their precision, the error
TABLE = {
    "nothing": ([], [], [0, 0], [None, None], None),
    "surely wrong": ([], [(A, CAT, 1.0)], [0, 1], [None, 0.0], 1.0),
    "surely right": ([(A, CAT, "")], [(A, CAT, 1.0)], [0, 1], [None, 1.0], 0.0),
    "a bin holds its upper edge": ([(A, CAT, "")], [(A, CAT, 0.5)], [1, 0], [1.0, None], 0.5),
    "zero is in the first": ([], [(A, CAT, 0.0)], [1, 0], [0.0, None], 0.0),
    "as it says": ([(A, CAT, "")], [(A, CAT, 0.5), (FAR, DOG, 0.5)], [2, 0], [0.5, None], 0.0),
    "two bins": ([(A, CAT, "")], [(A, CAT, 0.8), (FAR, DOG, 0.3)], [1, 1], [0.0, 1.0], 0.25),
    "on a difficult box: nothing": ([(A, CAT, "difficult")], [(A, CAT, 0.9)], [0, 0], [None, None], None),
}


@pytest.mark.parametrize(("truth", "found", "counts", "precision", "error"), TABLE.values(), ids=TABLE)
def test_calibration_two_bins(truth, found, counts, precision, error):
    record = calibration(match(*data_set([(truth, found)]), VOC12), bins=2).to_dict()
    assert record["edges"] == [0.0, 0.5, 1.0]
    assert record["counts"] == counts
    assert record["precision"] == precision
    assert record["error"] == (None if error is None else pytest.approx(error))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([None, 1, 2, 3]), st.sampled_from([1, 4, 15]))
def test_calibration_equals_a_plain_loop(seed, label, bins):
    matches = match(*random_scored_data_set(np.random.default_rng(seed), 0.25), VOC12)
    result = calibration(matches, label, bins)
    labels = labels_of(matches.columns, matches.columns.detections.groups)
    rows = [
        (score, outcome == TRUE_POSITIVE)
        for score, outcome, own in zip(matches.columns.detections.scores, matches.outcome[:, 0], labels, strict=True)
        if outcome != IGNORED and label in (None, own)
    ]
    error = 0.0
    for index in range(bins):
        inside = [row for row in rows if index / bins < row[0] <= (index + 1) / bins]
        assert result.counts[index] == len(inside)
        if inside:
            score, precision = np.mean([row[0] for row in inside]), np.mean([row[1] for row in inside])
            assert (result.scores[index], result.precision[index]) == pytest.approx((score, precision))
            error += abs(score - precision) * len(inside) / len(rows)
        else:
            assert np.isnan([result.scores[index], result.precision[index]]).all()
    assert result.error == (pytest.approx(error) if rows else None)
