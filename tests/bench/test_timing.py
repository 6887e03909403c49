from __future__ import annotations

import pytest

from detect.bench.timing import Timing, time_interleaved


@pytest.mark.parametrize("turns", [0, 1, 4])
def test_contenders_alternate_and_the_first_time_does_not_count(turns: int) -> None:
    seen: list[tuple[str, int]] = []

    def contender(name: str, seconds: float):
        def turn(number: int) -> float:
            seen.append((name, number))
            return seconds + number

        return turn

    timings = time_interleaved({"b": contender("b", 1.0), "a": contender("a", 10.0)}, turns)
    assert seen[:2] == [("b", 0), ("a", 0)]
    orders = [[name for name, at in seen[2:] if at == number] for number in range(turns)]
    assert orders == [["b", "a"], ["a", "b"], ["b", "a"], ["a", "b"]][:turns]
    assert timings["a"].seconds == tuple(10.0 + number for number in range(turns))


def test_no_contenders_take_no_turns() -> None:
    assert time_interleaved({}, 3) == {}


def test_median_and_spread() -> None:
    timing = Timing((5.0, 1.0, 2.0))
    assert (timing.median, timing.min_max) == (2.0, (1.0, 5.0))
