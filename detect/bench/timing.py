"""Contenders timed in turns, A B, B A, so that a machine that slows down slows all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

Item = TypeVar("Item")

Contender = Callable[[int], float]  # number of the turn -> seconds it took


@dataclass(frozen=True)
class Timing:
    """seconds: of each turn, in order."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of all turns."""
        return median(self.seconds)

    @property
    def spread(self) -> tuple[float, float]:
        """The quickest turn and the slowest one."""
        return min(self.seconds), max(self.seconds)


def clocked(run: Callable[[], object]) -> Contender:
    """``run`` as a contender: seconds from its start to its end, every turn the same work."""
    return lambda _: _seconds(run)


def clocked_on(items: Sequence[Item], run: Callable[[Item], object]) -> Contender:
    """``run`` as a contender, each turn on the next of ``items``, after the last on the first again."""
    return lambda number: _seconds(lambda: run(items[number % len(items)]))


def take_turns(contenders: Mapping[str, Contender], turns: int) -> dict[str, Timing]:
    """Each contender once for each number below ``turns``, in an order that alternates; before that once unmeasured."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for contender in contenders.values():
        contender(0)
    for number in range(turns):
        for name in sorted(contenders, key=list(contenders).index, reverse=bool(number % 2)):
            seconds[name].append(contenders[name](number))
    return {name: Timing(tuple(spent)) for name, spent in seconds.items()}


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
