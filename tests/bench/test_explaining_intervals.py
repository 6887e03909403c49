"""Intervals by the bootstrap over photos, compared with a plain loop."""

from __future__ import annotations

import numpy as np
import pytest

from detect.bench.explaining_intervals import REPLICATES, Values, mean_difference, mean_of_photos
from detect.evaluation.analysis.bootstrap import MIN_IMAGES, Interval
from detect.system.randomness import numpy_generator


@pytest.mark.parametrize("photos", [[], [()], [(), (None,)]])
def test_nothing_measured_has_no_interval(photos: list[Values]) -> None:
    assert mean_of_photos(photos) is None
    assert mean_difference(photos, photos) is None


@pytest.mark.parametrize("without", [(), (None,), (None, None)])
def test_few_photos_with_a_value_have_a_mean_without_an_interval(without: Values) -> None:
    few = [(0.25, None), (0.75,)] * (MIN_IMAGES // 2 - 1) + [(0.5,)]
    assert mean_of_photos(few + [without] * MIN_IMAGES) == pytest.approx(0.5)
    assert isinstance(mean_of_photos([*few, (0.5,), without]), Interval)


def test_interval_is_that_of_a_loop_over_photos() -> None:
    photos: list[Values] = [(0.1, 0.9), (), (None, 0.4, 0.5), (0.0,), (1.0, 1.0, 1.0)] * 8
    drawn = numpy_generator(0, "bootstrap").integers(0, len(photos), (REPLICATES, len(photos)))
    means = []
    for sample in drawn:
        numbers = [number for index in sample for number in photos[index] if number is not None]
        means += [np.mean(numbers)] if numbers else []
    interval = mean_of_photos(photos)
    assert isinstance(interval, Interval)
    assert interval.value == pytest.approx(np.mean([0.1, 0.9, 0.4, 0.5, 0.0, 1.0, 1.0, 1.0]))
    assert (interval.low, interval.high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])))


def test_photos_are_drawn_with_all_their_detections() -> None:
    """Ten equal detections in each photo are no more than one: the interval is as wide."""
    ten, one = (mean_of_photos([(0.0,) * n, (1.0,) * n] * MIN_IMAGES) for n in (10, 1))
    assert ten == one
    assert isinstance(one, Interval)
    assert one.high - one.low > 0.2


def test_differences_are_paired() -> None:
    first: list[Values] = [(0.9, None), (0.2, 0.3)] * MIN_IMAGES
    second: list[Values] = [(0.8, 0.1), (0.1, None)] * MIN_IMAGES
    interval = mean_difference(first, second)
    assert isinstance(interval, Interval)
    assert (interval.low, interval.value, interval.high) == pytest.approx((0.1, 0.1, 0.1))
    with pytest.raises(ValueError, match="zip"):
        mean_difference(first, second[:1])
