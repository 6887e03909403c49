from __future__ import annotations

import numpy as np
import pytest

from detect.bench.timing import Timing, run_in_process, time_interleaved
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


def allocate(mebibytes: int) -> int:
    return len(np.ones(mebibytes << 20, np.uint8))


def fail() -> None:
    raise RuntimeError


@pytest.mark.slow
def test_a_process_returns_its_output_and_a_memory_that_grows() -> None:
    small, large = run_in_process(allocate, 1), run_in_process(allocate, 300)
    assert (small.output, large.output) == (1 << 20, 300 << 20)
    assert 250 << 20 < large.peak_memory - small.peak_memory < 350 << 20


@pytest.mark.slow
def test_a_failed_process_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RunError, match="fail: expected its return in a new process, found that it failed"):
        run_in_process(fail)
    assert "RuntimeError" in capfd.readouterr().err
