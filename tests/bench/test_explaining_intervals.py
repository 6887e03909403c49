"""Intervals by the bootstrap over photos, compared with a plain loop."""

from __future__ import annotations

import numpy as np
import pytest

from detect.bench.explaining_intervals import REPLICATES, Values, difference_interval, mean_interval
from detect.system.randomness import numpy_generator


@pytest.mark.parametrize("photos", [[], [()], [(), (None,)]])
def test_nothing_measured_has_no_interval(photos: list[Values]) -> None:
    assert mean_interval(photos) is None
    assert difference_interval(photos, photos) is None


def test_interval_is_that_of_a_loop_over_photos() -> None:
    photos: list[Values] = [(0.1, 0.9), (), (None, 0.4, 0.5), (0.0,), (1.0, 1.0, 1.0)]
    drawn = numpy_generator(0, "bootstrap").integers(0, len(photos), (REPLICATES, len(photos)))
    means = []
    for sample in drawn:
        numbers = [number for index in sample for number in photos[index] if number is not None]
        means += [np.mean(numbers)] if numbers else []
    interval = mean_interval(photos)
    assert interval is not None
    assert interval.value == pytest.approx(np.mean([0.1, 0.9, 0.4, 0.5, 0.0, 1.0, 1.0, 1.0]))
    assert (interval.low, interval.high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])))


def test_photos_are_drawn_with_all_their_detections() -> None:
    """Ten equal detections in each of two photos are two photos, not twenty detections."""
    interval = mean_interval([(0.0,) * 10, (1.0,) * 10])
    assert interval is not None
    assert (interval.low, interval.value, interval.high) == (0.0, 0.5, 1.0)


def test_differences_are_paired() -> None:
    first: list[Values] = [(0.9, None), (0.2, 0.3)]
    second: list[Values] = [(0.8, 0.1), (0.1, None)]
    interval = difference_interval(first, second)
    assert interval is not None
    assert (interval.low, interval.value, interval.high) == pytest.approx((0.1, 0.1, 0.1))
    with pytest.raises(ValueError, match="zip"):
        difference_interval(first, second[:1])
