from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from detect.errors import RunError
from detect.evaluation.predictions import Prediction
from detect.inference.shards.job import Job, WorkerNumber
from detect.inference.shards.manifest import ensure_manifest
from detect.inference.shards.model import Photo
from detect.inference.shards.ray_workers import _Actor
from detect.inference.shards.run_shard import ShardSummary
from detect.inference.shards.schedule import MAX_DEATHS, Outcome, TooManyFailures, run_in_workers
from tests.inference.shards.stub_model import FAST, KEY, StubModel, run_stub, write_photos


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
        failure, death = ("full disk" if letter == "f" else None), ("SIGKILL" if letter == "x" else None)
        return [(worker, Outcome(number, summary, failure, death))]

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
        (["d", "x", "d"], [0, 2], ["shard 1: 3 workers ended while they had it, the last: SIGKILL"], 2 + MAX_DEATHS),
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
    with pytest.raises(
        RunError, match="10 shards failed one after the other, the last was shard 10: full disk"
    ) as raised:
        run_in_workers(workers, 1, range(11), lambda _: None)
    assert isinstance(raised.value, TooManyFailures)
    assert raised.value.lines == tuple(f"shard {number}: full disk" for number in range(1, 11))
    assert workers.is_closed


@dataclass(frozen=True)
class LoadBroken:
    """A model that fails as ``kind`` says: ``load``, ``detect``, or ``exit``, which ends its process."""

    kind: str

    def __call__(self, _: WorkerNumber) -> StubModel:
        if self.kind == "load":
            raise OSError("no kernel\nof this name")
        return BrokenModel(key=KEY if self.kind == "detect" else "exit")


class BrokenModel(StubModel):
    def detect(self, photos: Sequence[Photo]) -> list[Prediction]:
        assert photos
        if self.key == "exit":
            os._exit(7)
        raise ValueError("an unknown layer\nof this model")


@pytest.mark.parametrize("num_workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_error_of_the_model_is_told(tmp_path: Path, num_workers: int) -> None:
    write_photos(tmp_path / "photos", 4)
    job = Job(LoadBroken("detect"), str(tmp_path / "out"), FAST, 2)
    lines = run_stub(str(tmp_path / "photos"), job, num_workers, shard_size=2)
    ended = "" if num_workers == 1 else "3 workers ended while they had it, the last: "
    assert sorted(lines) == [f"shard {number}: {ended}ValueError: an unknown layer" for number in (0, 1)]


@pytest.mark.slow
def test_the_end_of_a_process_is_told(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 2)
    job = Job(LoadBroken("exit"), str(tmp_path / "out"), FAST, 2)
    assert run_stub(str(tmp_path / "photos"), job, 2) == [
        "shard 0: 3 workers ended while they had it, the last: exit code 7"
    ]
    with pytest.raises(RunError, match=r"the detector cannot be loaded: OSError: no kernel$"):
        run_stub(str(tmp_path / "photos"), replace(job, load=LoadBroken("load")), 2)


def test_an_actor_says_what_its_model_says(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 2)
    job = Job(LoadBroken("detect"), str(tmp_path / "out"), FAST, 2)
    ensure_manifest(job.folder(), str(tmp_path / "photos"), 10)
    assert _Actor(job, WorkerNumber()).run(0) == Outcome(0, death="ValueError: an unknown layer")
    error = _Actor(replace(job, load=LoadBroken("load")), WorkerNumber()).run(0)
    assert str(error) == "the detector cannot be loaded: OSError: no kernel"
