from __future__ import annotations

import numpy as np
import pytest

from detect.bench.relative_time import point_estimate, relative_time
from detect.bench.timing import Timing
from detect.evaluation.analysis.bootstrap import Interval


@pytest.mark.parametrize(("seconds", "baseline"), [((), ()), ((1.0,), (1.0, 2.0)), ((1.0, 2.0), ())])
def test_turns_that_are_not_as_many_are_an_error(seconds: tuple[float, ...], baseline: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=f"found {len(seconds)} and {len(baseline)}"):
        relative_time(Timing(seconds), Timing(baseline))


@pytest.mark.parametrize(
    ("seconds", "baseline", "expected"),
    [
        ((3.0,), (2.0,), 1.5),
        ((3.0, 1.0, 9.0, 2.0), (2.0,) * 4, 1.25),
        ((3.0,) * 5, (2.0,) * 5, Interval(1.5, 1.5, 1.5)),
        ((2.0, 8.0, 20.0, 6.0, 4.0), (1.0, 4.0, 10.0, 3.0, 2.0), Interval(2.0, 2.0, 2.0)),  # a slow turn is so for both
    ],
)
def test_relative_time_has_an_interval_from_five_turns_on(
    seconds: tuple[float, ...], baseline: tuple[float, ...], expected: Interval | float
) -> None:
    ratio = relative_time(Timing(seconds), Timing(baseline))
    assert ratio == expected
    assert point_estimate(ratio) == (expected.value if isinstance(expected, Interval) else expected)


def test_the_interval_contains_the_true_ratio_nearly_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits, widths = 0, []
    for _ in range(100):
        seconds, baseline = 1.2 * rng.lognormal(0, 0.05, 10), rng.lognormal(0, 0.05, 10)
        interval = relative_time(Timing(tuple(seconds.tolist())), Timing(tuple(baseline.tolist())))
        assert isinstance(interval, Interval)
        widths.append(interval.high - interval.low)
        hits += interval.low <= 1.2 <= interval.high
    assert hits >= 85
    assert np.median(widths) < 0.2
