"""Contenders timed in turns, A B, B A, so that a machine that slows down slows all of them."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import TypeVar

from detect.errors import RunError

Input = TypeVar("Item")

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
    def min_max(self) -> tuple[float, float]:
        """The quickest turn and the slowest one."""
        return min(self.seconds), max(self.seconds)


def timed(run: Callable[[], object]) -> Contender:
    """``run`` as a contender: seconds from its start to its end, every turn the same work."""
    return lambda _: _seconds(run)


def timed_on(items: Sequence[Input], run: Callable[[Input], object]) -> Contender:
    """``run`` as a contender, each turn on the next of ``items``, after the last on the first again."""
    return lambda number: _seconds(lambda: run(items[number % len(items)]))


def time_interleaved(contenders: Mapping[str, Contender], turns: int) -> dict[str, Timing]:
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


def peak_memory(work: Callable[..., object], *arguments: object) -> int:
    """Bytes that a fresh process which runs ``work(*arguments)`` holds at its peak, Python and torch included.

    work: a function of a module, for another process. WorkError where it fails.
    """
    here, there = multiprocessing.get_context("spawn").Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_run_and_send_peak, args=(there, work, arguments))
    process.start()
    there.close()
    try:
        peak = int(here.recv())
    except EOFError:
        raise RunError(f"{work.__name__}: expected its peak memory, found that its process failed") from None
    finally:
        process.join()
    return peak


def _run_and_send_peak(there: Connection, work: Callable[..., object], arguments: tuple[object, ...]) -> None:
    work(*arguments)
    there.send(_own_peak())


def _own_peak() -> int:
    """Of this process, in bytes. Linux's ``ru_maxrss`` is no use: a process starts with that of its parent."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
