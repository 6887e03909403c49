from __future__ import annotations

import numpy as np
import pytest

from detect.bench.relative_time import relative_time
from detect.bench.timing import Timing


@pytest.mark.parametrize(("seconds", "baseline"), [((), ()), ((1.0,), (1.0, 2.0)), ((1.0, 2.0), ())])
def test_turns_that_are_not_as_many_are_an_error(seconds: tuple[float, ...], baseline: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=f"found {len(seconds)} and {len(baseline)}"):
        relative_time(Timing(seconds), Timing(baseline))


@pytest.mark.parametrize(
    ("seconds", "baseline", "expected"),
    [
        ((3.0,), (2.0,), (1.5, 1.5, 1.5)),
        ((3.0, 3.0), (2.0, 2.0), (1.5, 1.5, 1.5)),
        ((2.0, 8.0, 20.0), (1.0, 4.0, 10.0), (2.0, 2.0, 2.0)),  # slow turns are slow for both
    ],
)
def test_relative_time_of_a_constant_ratio_has_no_width(
    seconds: tuple[float, ...], baseline: tuple[float, ...], expected: tuple[float, float, float]
) -> None:
    interval = relative_time(Timing(seconds), Timing(baseline))
    assert (interval.value, interval.low, interval.high) == expected


def test_the_interval_contains_the_true_ratio_nearly_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(100):
        seconds, baseline = 1.2 * rng.lognormal(0, 0.05, 20), rng.lognormal(0, 0.05, 20)
        interval = relative_time(Timing(tuple(seconds.tolist())), Timing(tuple(baseline.tolist())))
        hits += interval.low <= 1.2 <= interval.high
    assert 85 <= hits <= 100
