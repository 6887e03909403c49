from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.data.annotations import Annotations, pack
from detect.evaluation.analysis import bootstrap as resampling
from detect.evaluation.analysis.bootstrap import Interval, bootstrap, draw, interval, means, resampled, unbiased
from detect.evaluation.analysis.matches import METRIC_RULES, match
from detect.evaluation.predictions import Prediction
from detect.evaluation.rules import COCO_AP, PY_FASTER_RCNN, VOC07, VOC12
from detect.evaluation.voc import evaluate_by_rules
from tests.evaluation.analysis.random_detections import untied_data_set
from tests.evaluation.cases import data_set, drawn_data_set

A, B = (0.0, 0.0, 100.0, 100.0), (200.0, 0.0, 300.0, 100.0)
CAT = 1
RULES = {"voc07": VOC07, "voc12": VOC12, "coco": COCO_AP, "py-faster-rcnn": PY_FASTER_RCNN}
seeds = st.integers(0, 2**32 - 1)


def repeated(
    annotations: Annotations, predictions: list[Prediction], counts: list[int]
) -> tuple[Annotations, list[Prediction]]:
    """The data set with each image as many times as it counts."""
    places = [place for place, count in enumerate(counts) for _ in range(count)]
    images = [replace(annotations[place], image_id=n, file=f"/{n}.jpg") for n, place in enumerate(places)]
    return pack(images, annotations.classes), [predictions[place] for place in places]


def as_numbers(values: np.ndarray) -> list[object]:
    return [None if np.isnan(value) else pytest.approx(value, abs=1e-12) for value in values]


@settings(max_examples=50, deadline=None)
@given(seeds, st.sampled_from(sorted(RULES)))
def test_a_weight_counts_as_often_as_the_image(seed, name):
    annotations, predictions = untied_data_set(seed)
    weights = np.random.default_rng(seed).integers(0, 4, (len(annotations), 3)).astype(np.int32)
    aps = resampled(match(annotations, predictions, RULES[name]), weights)
    assert aps.shape == (3, 3)
    for sample, counts in zip(aps, weights.T.tolist(), strict=True):
        expected = evaluate_by_rules(*repeated(annotations, predictions, counts), RULES[name])
        assert list(expected.per_class.values()) == as_numbers(sample)
        assert [expected.mAP] == as_numbers(means(sample[None]))


@settings(max_examples=40, deadline=None)
@given(seeds, st.sampled_from(sorted(RULES)))
def test_weights_of_one_give_the_scorers_ap(seed, name):
    annotations, predictions = drawn_data_set(np.random.default_rng(seed), 0.25)
    aps = resampled(match(annotations, predictions, RULES[name]), np.ones((len(annotations), 1), np.int32))
    assert list(evaluate_by_rules(annotations, predictions, RULES[name]).per_class.values()) == as_numbers(aps[0])


def test_a_recall_that_a_grid_misses_is_missed():
    boxes = [(40.0 * n, 0.0, 40.0 * n + 20, 20.0) for n in range(10)]
    case = data_set([([(box, CAT, "") for box in boxes], [(box, CAT, 0.9) for box in boxes[:3]])])
    aps = resampled(match(*case, VOC07), np.array([[1, 2]], np.int32))
    assert aps[:, 0].tolist() == pytest.approx(
        [3 / 11, 3 / 11], abs=1e-15
    )  # at 0.0, 0.1 and 0.2; 0.3 is below MATLAB's


@pytest.mark.parametrize("block", [1, 7, 100])
def test_blocks_change_nothing(block, monkeypatch):
    annotations, predictions = untied_data_set(5)
    matches, weights = match(annotations, predictions, VOC12), draw(len(annotations), 9, seed=1)
    whole = resampled(matches, weights)
    monkeypatch.setattr(resampling, "_BLOCK", block)
    np.testing.assert_array_equal(resampled(matches, weights), whole)
    assert not np.isnan(whole).all()


@pytest.mark.parametrize(("photos", "replicates"), [(0, 3), (1, 3), (5, 0), (7, 4)])
def test_a_sample_has_as_many_images(images, replicates):
    weights = draw(images, replicates, seed=0)
    assert weights.shape == (images, replicates)
    assert weights.sum(axis=0).tolist() == [images] * replicates
    np.testing.assert_array_equal(weights, draw(images, replicates, seed=0))


def test_samples_differ():
    weights = draw(50, 2, seed=0)
    assert weights[:, 0].tolist() != weights[:, 1].tolist()
    assert weights.tolist() != draw(50, 2, seed=1).tolist()
    assert 0.2 < (draw(50, 200, seed=0) == 0).mean() - 0.1 < 0.32  # 1 / e of the images are left out


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
def test_intervals(value, draws, expected):
    found = interval(value, np.array(draws, float))
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
def test_bias_is_taken_off_twice(value, draws, expected):
    assert unbiased(value, np.array(draws, float)).tolist() == expected


def test_draws_without_bias_are_those_of_the_interval():
    matches = match(*data_set([([(A, CAT, "")], [((A, B)[n % 2], CAT, 0.9 - n / 20)]) for n in range(12)]), VOC12)
    told = bootstrap(matches, replicates=40, seed=2).mAP
    draws = means(resampled(matches, draw(12, 40, seed=2)))
    assert told is not None
    assert told == interval(told.value, np.clip(unbiased(told.value, draws), 0.0, 1.0))
    assert told != interval(told.value, draws)


def test_no_images():
    found = bootstrap(match(*data_set([]), VOC12), replicates=5)
    assert found.mAP is None
    assert found.per_class == {"cat": None, "dog": None, "zebra": None}


def test_one_image_is_always_the_same():
    found = bootstrap(match(*data_set([([(A, CAT, ""), (B, CAT, "")], [(A, CAT, 0.9)])]), VOC12), replicates=20)
    assert found.mAP == found.per_class["cat"] == Interval(0.5, 0.5, 0.5)
    assert found.per_class["dog"] is None


@settings(max_examples=40, deadline=None)
@given(seeds, st.sampled_from(sorted(METRIC_RULES)))
def test_an_interval_holds_the_scorers_value(seed, metric):
    annotations, predictions = drawn_data_set(np.random.default_rng(seed), 0.25)
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
