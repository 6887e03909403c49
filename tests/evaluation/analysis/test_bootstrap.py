from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.data.annotations import Annotations
from detect.evaluation.analysis import bootstrap as resampling
from detect.evaluation.analysis.bootstrap import (
    Interval,
    bias_corrected,
    bootstrap,
    mean_aps,
    percentile_interval,
    sample_weights,
    weighted_aps,
)
from detect.evaluation.analysis.matches import METRIC_RULES, match
from detect.evaluation.predictions import Prediction
from detect.evaluation.rules import COCO_AP, PY_FASTER_RCNN, VOC07, VOC12
from detect.evaluation.voc import evaluate_by_rules
from tests.evaluation.analysis.example_untied_data import untied_data_set
from tests.evaluation.example_data import data_set, random_scored_data_set

A, B = (0.0, 0.0, 100.0, 100.0), (200.0, 0.0, 300.0, 100.0)
CAT = 1
RULES = {"voc07": VOC07, "voc12": VOC12, "coco": COCO_AP, "py-faster-rcnn": PY_FASTER_RCNN}
seeds = st.integers(0, 2**32 - 1)


def repeated(
    annotations: Annotations, predictions: list[Prediction], counts: list[int]
) -> tuple[Annotations, list[Prediction]]:
    """The data set with each image as many times as it counts."""
    places = [index for index, count in enumerate(counts) for _ in range(count)]
    images = [replace(annotations[index], image_id=n, file=f"/{n}.jpg") for n, index in enumerate(places)]
    return Annotations.from_images(images, annotations.classes), [predictions[index] for index in places]


def as_numbers(values: np.ndarray) -> list[object]:
    return [None if np.isnan(value) else pytest.approx(value, abs=1e-12) for value in values]


@settings(max_examples=50, deadline=None)
@given(seeds, st.sampled_from(sorted(RULES)))
def test_weighted_aps_equal_repeated_images(seed, name):
    annotations, predictions = untied_data_set(seed)
    weights = np.random.default_rng(seed).integers(0, 4, (len(annotations), 3)).astype(np.int32)
    aps = weighted_aps(match(annotations, predictions, RULES[name]), weights)
    assert aps.shape == (3, 3)
    for sample, counts in zip(aps, weights.T.tolist(), strict=True):
        expected = evaluate_by_rules(*repeated(annotations, predictions, counts), RULES[name])
        assert list(expected.per_class.values()) == as_numbers(sample)
        assert [expected.mAP] == as_numbers(mean_aps(sample[None]))


@settings(max_examples=40, deadline=None)
@given(seeds, st.sampled_from(sorted(RULES)))
def test_weighted_aps_with_ones_equal_the_scorer(seed, name):
    annotations, predictions = random_scored_data_set(np.random.default_rng(seed), 0.25)
    aps = weighted_aps(match(annotations, predictions, RULES[name]), np.ones((len(annotations), 1), np.int32))
    assert list(evaluate_by_rules(annotations, predictions, RULES[name]).per_class.values()) == as_numbers(aps[0])


def test_weighted_aps_recall_that_a_grid_misses():
    boxes = [(40.0 * n, 0.0, 40.0 * n + 20, 20.0) for n in range(10)]
    case = data_set([([(box, CAT, "") for box in boxes], [(box, CAT, 0.9) for box in boxes[:3]])])
    aps = weighted_aps(match(*case, VOC07), np.array([[1, 2]], np.int32))
    assert aps[:, 0].tolist() == pytest.approx(
        [3 / 11, 3 / 11], abs=1e-15
    )  # at 0.0, 0.1 and 0.2; 0.3 is below MATLAB's


@pytest.mark.parametrize("block", [1, 7, 100])
def test_weighted_aps_in_blocks_are_the_same(block, monkeypatch):
    annotations, predictions = untied_data_set(5)
    matches, weights = match(annotations, predictions, VOC12), sample_weights(len(annotations), 9, seed=1)
    unsplit = weighted_aps(matches, weights)
    monkeypatch.setattr(resampling, "_BLOCK", block)
    np.testing.assert_array_equal(weighted_aps(matches, weights), unsplit)
    assert not np.isnan(unsplit).all()


@pytest.mark.parametrize(("images", "replicates"), [(0, 3), (1, 3), (5, 0), (7, 4)])
def test_sample_weights_sum_to_the_number_of_images(images, replicates):
    weights = sample_weights(images, replicates, seed=0)
    assert weights.shape == (images, replicates)
    assert weights.sum(axis=0).tolist() == [images] * replicates
    np.testing.assert_array_equal(weights, sample_weights(images, replicates, seed=0))


def test_sample_weights_differ():
    weights = sample_weights(50, 2, seed=0)
    assert weights[:, 0].tolist() != weights[:, 1].tolist()
    assert weights.tolist() != sample_weights(50, 2, seed=1).tolist()
    assert 0.2 < (sample_weights(50, 200, seed=0) == 0).mean() - 0.1 < 0.32  # 1 / e of the images are left out


NAN = float("nan")
EVEN = np.arange(101) / 100  # its percentiles are its values
INTERVALS = {
    "no draws": (0.5, [], None),
    "not known": (NAN, [0.1], None),
    "no draw is known": (0.5, [NAN, NAN], None),
    "one draw": (0.5, [0.4], (0.4, 0.5)),
    "all equal": (0.5, [0.5, 0.5, NAN], (0.5, 0.5)),
    "percentiles": (0.5, EVEN, (0.025, 0.975)),
    "below zero": (-0.5, EVEN - 1, (-0.975, -0.025)),
    "widened to the value": (0.99, EVEN, (0.025, 0.99)),
}


@pytest.mark.parametrize(("value", "draws", "expected"), INTERVALS.values(), ids=INTERVALS)
def test_percentile_interval(value, draws, expected):
    found = percentile_interval(value, np.array(draws, float))
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert (found.value, found.low, found.high) == pytest.approx((value, *expected))


@pytest.mark.parametrize(
    ("value", "draws", "expected"),
    [
        (0.5, [], []),
        (0.5, [NAN], []),
        (0.5, [0.25, 0.5, 0.75], [0.25, 0.5, 0.75]),
        (0.5, [0.625, NAN, 0.5, 0.75], [0.375, 0.25, 0.5]),
        (0.5, [0.25], [0.75]),
    ],
)
def test_bias_corrected(value, draws, expected):
    assert bias_corrected(value, np.array(draws, float)).tolist() == expected


def test_bootstrap_uses_corrected_samples():
    matches = match(*data_set([([(A, CAT, "")], [((A, B)[n % 2], CAT, 0.9 - n / 20)]) for n in range(12)]), VOC12)
    record = bootstrap(matches, replicates=40, seed=2).mAP
    draws = mean_aps(weighted_aps(matches, sample_weights(12, 40, seed=2)))
    assert record is not None
    assert record == percentile_interval(record.value, np.clip(bias_corrected(record.value, draws), 0.0, 1.0))
    assert record != percentile_interval(record.value, draws)


def test_no_images():
    found = bootstrap(match(*data_set([]), VOC12), replicates=5)
    assert found.mAP is None
    assert found.per_class == {"cat": None, "dog": None, "zebra": None}


def test_bootstrap_of_one_image_has_no_width():
    found = bootstrap(match(*data_set([([(A, CAT, ""), (B, CAT, "")], [(A, CAT, 0.9)])]), VOC12), replicates=20)
    assert found.mAP == found.per_class["cat"] == Interval(0.5, 0.5, 0.5)
    assert found.per_class["dog"] is None


@settings(max_examples=40, deadline=None)
@given(seeds, st.sampled_from(sorted(METRIC_RULES)))
def test_bootstrap_interval_contains_the_scorers_ap(seed, metric):
    annotations, predictions = random_scored_data_set(np.random.default_rng(seed), 0.25)
    matches = match(annotations, predictions, METRIC_RULES[metric])
    found = bootstrap(matches, replicates=30, seed=seed)
    expected = evaluate_by_rules(annotations, predictions, METRIC_RULES[metric])
    assert found == bootstrap(matches, replicates=30, seed=seed)
    pairs = zip(found.per_class.values(), expected.per_class.values(), strict=True)
    for one, value in ((found.mAP, expected.mAP), *pairs):
        assert (one is None) == (value is None)
        if one is not None:
            assert 0 <= one.low <= one.value <= one.high <= 1 + 1e-12
            assert one.value == pytest.approx(value, abs=1e-12)
