"""The time of a variant relative to that of another, with an interval over the turns."""

from __future__ import annotations

import numpy as np

from detect.bench.timing import Timing
from detect.evaluation.analysis.bootstrap import Interval, percentile_interval
from detect.system.randomness import numpy_generator

REPLICATES = 1000
MIN_TURNS = 5  # of an interval: in 100 trials with noise of 5% it held the ratio 42 times with 2 turns, 96 with 5


def relative_time(timing: Timing, baseline: Timing) -> Interval | float:
    """Return the median seconds of a variant divided by those of the baseline, with a 95% interval where there are
    MIN_TURNS turns or more.

    The interval is a bootstrap over the turns. A turn has both variants, one after the other, so that a slow minute of
    the machine is in both. It says nothing of other images, weights or machines. Raises ValueError where the two have
    not the same number of turns, or none.
    """
    turns = len(timing.seconds)
    if not turns or turns != len(baseline.seconds):
        raise ValueError(f"turns: expected as many of both, and at least 1, found {turns} and {len(baseline.seconds)}")
    if turns < MIN_TURNS:
        return timing.median / baseline.median
    drawn = numpy_generator(0, "bootstrap").integers(0, turns, (REPLICATES, turns))
    ratios = np.median(np.array(timing.seconds)[drawn], axis=1) / np.median(np.array(baseline.seconds)[drawn], axis=1)
    interval = percentile_interval(timing.median / baseline.median, ratios)
    assert interval is not None
    return interval


def point_estimate(ratio: Interval | float) -> float:
    """Return the ratio itself, without its interval."""
    return ratio.value if isinstance(ratio, Interval) else ratio
