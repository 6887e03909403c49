from __future__ import annotations

import numpy as np
import pytest

from detect.bench.timing import Timing, peak_memory, time_interleaved
from detect.errors import RunError


@pytest.mark.parametrize("repeats", [0, 1, 4])
def test_time_interleaved_alternates_and_drops_the_first_run(repeats: int) -> None:
    calls: list[tuple[str, int]] = []

    def variant(name: str, seconds: float):
        def run(repeat: int) -> float:
            calls.append((name, repeat))
            return seconds + repeat

        return run

    timings = time_interleaved({"b": variant("b", 1.0), "a": variant("a", 10.0)}, repeats)
    assert calls[:2] == [("b", 0), ("a", 0)]
    orders = [[name for name, called in calls[2:] if called == repeat] for repeat in range(repeats)]
    assert orders == [["b", "a"], ["a", "b"], ["b", "a"], ["a", "b"]][:repeats]
    assert timings["a"].seconds == tuple(10.0 + repeat for repeat in range(repeats))


def test_time_interleaved_without_contenders_is_empty() -> None:
    assert time_interleaved({}, 3) == {}


def test_timing_median_and_min_max() -> None:
    timing = Timing((5.0, 1.0, 2.0))
    assert (timing.median, timing.min_max) == (2.0, (1.0, 5.0))


def allocate(mebibytes: int) -> None:
    np.ones(mebibytes << 20, np.uint8)


def fail() -> None:
    raise RuntimeError


def test_peak_memory_grows_with_the_allocated_bytes() -> None:
    small, large = peak_memory(allocate, 1), peak_memory(allocate, 300)
    assert 250 << 20 < large - small < 350 << 20


def test_peak_memory_of_a_failed_process_raises(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RunError, match="fail: expected its peak memory, found that its process failed"):
        peak_memory(fail)
    assert "RuntimeError" in capfd.readouterr().err
