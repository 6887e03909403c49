"""Gives shards to workers until each is done; a worker that dies is started anew, and its shard is done again."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from detect.errors import RunError, UserError, first_line
from detect.inference.shards.run_shard import ShardRunner, ShardSummary

MAX_DEATHS = 3  # of workers at one shard, before it is left out: photos may need more memory than there is
MAX_FAILURES = 10  # shards that fail one after the other end the run: the store or the disk is gone, not a photo


@dataclass(frozen=True)
class Outcome:
    """What became of a shard. summary: None where it failed; failure: why; death: how its worker ended, if it did."""

    number: int
    summary: ShardSummary | None = None
    failure: str | None = None
    death: str | None = None


def run_shard(runner: ShardRunner, number: int) -> Outcome:
    """Return the outcome of a shard. Raises UserError where the run cannot go on.

    An error of a library is the end of the worker, as a GPU may be of no more use to its process.
    """
    try:
        return Outcome(number, summary=runner.run(number))
    except RunError as error:
        return Outcome(number, failure=str(error))
    except UserError:
        raise
    except Exception as error:
        return Outcome(number, death=f"{type(error).__name__}: {first_line(error)}")


class TooManyFailures(RunError):  # noqa: N818 - the name states the problem
    """Ten shards that failed one after the other. lines: one for each shard of the run that failed."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__(f"{MAX_FAILURES} shards failed one after the other, the last was {lines[-1]}")
        self.lines = tuple(lines)


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

    Raises TooManyFailures where ten shards fail one after the other.
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
                    failures.reset_count()
                elif outcome.failure is not None:
                    failures.add(number, outcome.failure)
                else:
                    deaths[number] += 1
                    workers.start(worker)
                    if deaths[number] < MAX_DEATHS:
                        waiting.appendleft(number)
                    else:
                        failures.add(number, f"{MAX_DEATHS} workers ended while they had it, the last: {outcome.death}")
    finally:
        workers.close()
    return failures.lines


def run_here(runner: ShardRunner, numbers: Sequence[int], report: Callable[[ShardSummary], None]) -> list[str]:
    """Run the shards in this process, as ``run_in_workers`` does in others."""
    failures = _Failures()
    for number in numbers:
        outcome = run_shard(runner, number)
        if outcome.summary is not None:
            report(outcome.summary)
            failures.reset_count()
        else:
            failures.add(number, str(outcome.failure or outcome.death))
    return failures.lines


class _Failures:
    """The lines of the shards that failed, and how many failed since the last that did not."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._in_a_row = 0

    def add(self, number: int, reason: str) -> None:
        """Note a shard that failed. Raises TooManyFailures if it is the tenth in a row."""
        self.lines.append(f"shard {number}: {reason}")
        self._in_a_row += 1
        if self._in_a_row == MAX_FAILURES:
            raise TooManyFailures(self.lines)

    def reset_count(self) -> None:
        """Note a shard that did not fail."""
        self._in_a_row = 0
