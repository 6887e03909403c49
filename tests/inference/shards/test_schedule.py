from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from detect.errors import RunError
from detect.inference.shards.run_shard import ShardSummary
from detect.inference.shards.schedule import MAX_DEATHS, Outcome, run_in_workers


class ScriptedWorkers:
    """Workers that do what a text says: ``d`` ends a shard, ``f`` fails it, ``x`` is the death of the worker.

    script: the letters of each shard, in turn; the last one is repeated.
    """

    def __init__(self, script: Sequence[str]) -> None:
        self.script = [list(letters) for letters in script]
        self.starts: list[int] = []
        self.running: dict[int, int] = {}
        self.is_closed = False

    def start(self, worker: int) -> None:
        assert worker not in self.running
        self.starts.append(worker)

    def submit(self, worker: int, number: int) -> None:
        assert worker in self.starts
        assert worker not in self.running
        self.running[worker] = number

    def wait(self) -> Iterable[tuple[int, Outcome]]:
        worker = min(self.running, key=self.running.__getitem__)
        number = self.running.pop(worker)
        letters = self.script[number]
        letter = letters.pop(0) if len(letters) > 1 else letters[0]
        summary = ShardSummary(number, 1, 0, 0, 0.0) if letter == "d" else None
        return [(worker, Outcome(number, summary, "full disk" if letter == "f" else None))]

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize(
    ("script", "done", "failures", "num_starts"),
    [
        ([], [], [], 0),
        (["d"], [0], [], 1),
        (["d", "d", "d"], [0, 1, 2], [], 2),
        (["f", "d", "d"], [1, 2], ["shard 0: full disk"], 2),
        (["xd", "d"], [0, 1], [], 3),
        (["d", "x", "d"], [0, 2], ["shard 1: 3 workers were ended by the system while they had it"], 2 + MAX_DEATHS),
    ],
)
def test_each_shard_is_done_or_told(script: list[str], done: list[int], failures: list[str], num_starts: int) -> None:
    workers, reported = ScriptedWorkers(script), []

    def report(summary: ShardSummary) -> None:
        reported.append(summary.number)

    assert run_in_workers(workers, 2, range(len(script)), report) == failures
    assert sorted(reported) == done
    assert len(workers.starts) == num_starts
    assert workers.is_closed


def test_ten_failures_in_a_row_end_the_run() -> None:
    workers = ScriptedWorkers("f" * 9 + "d" + "f" * 9)
    assert len(run_in_workers(workers, 1, range(19), lambda _: None)) == 18
    workers = ScriptedWorkers("d" + "f" * 10)
    with pytest.raises(RunError, match="10 shards failed one after the other, the last was shard 10: full disk"):
        run_in_workers(workers, 1, range(11), lambda _: None)
    assert workers.is_closed
