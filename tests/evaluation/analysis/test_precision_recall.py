from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.evaluation.analysis.matches import METRIC_RULES, match
from detect.evaluation.analysis.precision_recall import best_threshold, curves, precision_recall
from detect.evaluation.rules import COCO_AP50, VOC12
from detect.evaluation.voc import average_precision, evaluate_by_rules
from tests.evaluation.example_data import data_set, random_scored_data_set

A, B, FAR = (0.0, 0.0, 100.0, 100.0), (200.0, 0.0, 300.0, 100.0), (0.0, 200.0, 50.0, 250.0)
CAT = 1

# (truth, found), the best score to cut off at with F1, precision, recall
THRESHOLDS = {
    "nothing": ([], [], None),
    "nothing to find": ([], [(A, CAT, 0.9)], None),
    "nothing found": ([(A, CAT, "")], [], None),
    "nothing of it found": ([(A, CAT, "")], [(FAR, CAT, 0.9)], None),
    "found": ([(A, CAT, "")], [(A, CAT, 0.9)], (0.9, 1.0, 1.0, 1.0)),
    "a false one below": ([(A, CAT, "")], [(A, CAT, 0.9), (FAR, CAT, 0.2)], (0.9, 1.0, 1.0, 1.0)),
    "a false one above": ([(A, CAT, "")], [(A, CAT, 0.5), (FAR, CAT, 0.9)], (0.5, 2 / 3, 0.5, 1.0)),
    "equal scores go together": ([(A, CAT, "")], [(A, CAT, 0.5), (FAR, CAT, 0.5)], (0.5, 2 / 3, 0.5, 1.0)),
    "of equal F1 the higher": (
        [(A, CAT, ""), (B, CAT, "")],
        [(A, CAT, 0.9), (FAR, CAT, 0.8), (FAR, CAT, 0.7), (B, CAT, 0.6)],
        (0.9, 2 / 3, 1.0, 0.5),
    ),
    "difficult: nothing": ([(A, CAT, "difficult"), (B, CAT, "")], [(A, CAT, 0.9), (B, CAT, 0.5)], (0.5, 1.0, 1.0, 1.0)),
}


@pytest.mark.parametrize(("truth", "found", "expected"), THRESHOLDS.values(), ids=THRESHOLDS)
def test_best_threshold(truth, found, expected):
    best = best_threshold(curves(match(*data_set([(truth, found)]), VOC12))["cat"])
    if expected is None:
        assert best is None
    else:
        assert best is not None
        assert (best.score, best.f1, best.precision, best.recall) == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_best_threshold_no_other_is_better(seed):
    for name, curve in curves(match(*random_scored_data_set(np.random.default_rng(seed), 0.25), VOC12)).items():
        best = best_threshold(curve)
        for score in set(curve.scores.tolist()):
            last = int(np.flatnonzero(curve.scores >= score)[-1])
            precision, recall = curve.precision[last], curve.recall[last]
            if precision * recall > 0:
                f1 = 2 / (1 / precision + 1 / recall)
                assert best is not None, name
                assert f1 <= best.f1 + 1e-12
                assert f1 < best.f1 - 1e-12 or score <= best.score or f1 == pytest.approx(best.f1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(METRIC_RULES)))
def test_curves_equal_the_scorer(seed, metric):
    annotations, predictions = random_scored_data_set(np.random.default_rng(seed), 0.25)
    expected = evaluate_by_rules(annotations, predictions, METRIC_RULES[metric]).curves
    found = curves(match(annotations, predictions, METRIC_RULES[metric]))
    assert list(found) == list(expected)
    for name, curve in expected.items():
        assert found[name].positives == curve.positives
        for column in ("scores", "recall", "precision"):
            np.testing.assert_array_equal(getattr(found[name], column), getattr(curve, column))


def test_precision_recall_of_no_images():
    arrays = precision_recall(curves(match(*data_set([]), VOC12)), points=3)
    assert arrays.recalls.tolist() == [0.0, 0.5, 1.0]
    assert arrays.precision.shape == (3, 3)
    assert np.isnan(arrays.precision).all()
    assert np.isnan(arrays.mean).all()


def test_precision_recall_arrays():
    truth = [(A, 1, ""), (B, 1, ""), (A, 2, "")]
    found = [(FAR, 1, 0.9), (A, 1, 0.8), (A, 2, 0.7)]
    arrays = precision_recall(curves(match(*data_set([(truth, found)]), VOC12)), points=3)
    assert arrays.precision[:2].tolist() == [[0.5, 0.5, 0.0], [1.0, 1.0, 1.0]]
    assert np.isnan(arrays.precision[2]).all()
    assert arrays.mean.tolist() == [0.75, 0.75, 0.5]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_precision_recall_mean_equals_the_ap(seed):
    annotations, predictions = random_scored_data_set(np.random.default_rng(seed), 0.25)
    matches = match(annotations, predictions, COCO_AP50)
    arrays = precision_recall(curves(matches))
    assert (np.diff(arrays.precision, axis=1)[~np.isnan(arrays.precision[:, 0])] <= 0).all()
    recalls = tuple(arrays.recalls.tolist())
    for row, curve in zip(arrays.precision, curves(matches).values(), strict=True):
        ap = average_precision(curve, recalls)
        assert np.isnan(row).all() if ap is None else row.mean() == pytest.approx(ap, abs=1e-12)
