"""Gives shards to workers until each is done; a worker that dies is started anew, and its shard is done again."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from detect.errors import RunError
from detect.inference.shards.run_shard import ShardRunner, ShardSummary

MAX_DEATHS = 3  # of workers at one shard, before it is left out: photos may need more memory than there is
MAX_FAILURES = 10  # shards that fail one after the other end the run: the store or the disk is gone, not a photo


@dataclass(frozen=True)
class Outcome:
    """What a worker says of a shard. summary: None where it failed; failure: why, or None where the worker died."""

    number: int
    summary: ShardSummary | None = None
    failure: str | None = None


class Workers(Protocol):
    """Processes that run one shard each at a time; they are numbered from 0."""

    def start(self, worker: int) -> None:
        """Start a worker, or start it again after it died."""

    def submit(self, worker: int, number: int) -> None:
        """Give a shard to a worker that has none."""

    def wait(self) -> Iterable[tuple[int, Outcome]]:
        """Wait until a shard ends, and return the workers and outcomes of all that have ended."""

    def close(self) -> None:
        """End the workers."""


def run_in_workers(
    workers: Workers, num_workers: int, numbers: Sequence[int], report: Callable[[ShardSummary], None]
) -> list[str]:
    """Run the shards and return a line for each that failed. report: called with each shard that is done.

    Raises RunError where ten shards fail one after the other.
    """
    waiting = deque(numbers)
    busy: dict[int, int] = {}  # the shard of each worker that has one
    deaths = Counter[int]()
    failures = _Failures()
    idle = list(range(min(num_workers, len(waiting))))
    try:
        for worker in idle:
            workers.start(worker)
        while waiting or busy:
            while idle and waiting:
                worker = idle.pop()
                busy[worker] = waiting.popleft()
                workers.submit(worker, busy[worker])
            for worker, outcome in workers.wait():
                number = busy.pop(worker)
                idle.append(worker)
                if outcome.summary is not None:
                    report(outcome.summary)
                    failures.clear_row()
                elif outcome.failure is not None:
                    failures.add(number, outcome.failure)
                else:
                    deaths[number] += 1
                    workers.start(worker)
                    if deaths[number] < MAX_DEATHS:
                        waiting.appendleft(number)
                    else:
                        failures.add(number, f"{MAX_DEATHS} workers were ended by the system while they had it")
    finally:
        workers.close()
    return failures.lines


def run_here(runner: ShardRunner, numbers: Sequence[int], report: Callable[[ShardSummary], None]) -> list[str]:
    """Run the shards in this process, as ``run_in_workers`` does in others."""
    failures = _Failures()
    for number in numbers:
        try:
            report(runner.run(number))
            failures.clear_row()
        except RunError as error:
            failures.add(number, str(error))
    return failures.lines


class _Failures:
    """The lines of the shards that failed, and how many failed since the last that did not."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._in_a_row = 0

    def add(self, number: int, reason: str) -> None:
        """Note a shard that failed. Raises RunError if it is the tenth in a row."""
        self.lines.append(f"shard {number}: {reason}")
        self._in_a_row += 1
        if self._in_a_row == MAX_FAILURES:
            raise RunError(f"{MAX_FAILURES} shards failed one after the other, the last was {self.lines[-1]}")

    def clear_row(self) -> None:
        """Note a shard that did not fail."""
        self._in_a_row = 0
