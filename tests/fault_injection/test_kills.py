"""Work that is ended by SIGKILL leaves no damaged file, and goes on to the same results, bit for bit.

One kill in the fast suite, 31 more by ``pytest -m slow`` on this file, and 168 more by ``pytest -m long``.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fault_injection import fixtures_jobs as jobs
from tests.fault_injection.command_client import Commands, differences
from tests.fault_injection.file_faults import KILLS, Fault
from tests.fault_injection.fixtures_jobs import Job, run_undisturbed, unreadable

NAMES = ("write", "sync", "rename", "flush")  # of operations


@dataclass(frozen=True)
class UndisturbedJob:
    """A job carried out undisturbed: its operations on files, its result, and how long it took."""

    job: Job
    operations: list[str]
    result: Any
    seconds: float


Get = Callable[[str], UndisturbedJob]


@pytest.fixture(scope="module")
def undisturbed(commands: Commands, shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Get:
    place, known = tmp_path_factory.mktemp("whole"), dict[str, UndisturbedJob]()

    def images() -> Path:
        get("joint")  # draws them
        (folder,) = shapes_root.glob("*4x2/train")
        return folder

    makers: dict[str, Callable[[], Job]] = {
        "joint": lambda: jobs.joint(shapes_root, place),
        "rcnn": lambda: jobs.rcnn(shapes_root, place),
        "proposals": lambda: jobs.proposals(images()),
        "prediction": lambda: jobs.prediction(place / "joint", images()),
    }

    def get(name: str) -> UndisturbedJob:
        if name not in known:
            job, folder = makers[name](), place / name
            started = time.monotonic()
            operations = run_undisturbed(job, commands, folder)
            known[name] = UndisturbedJob(job, operations, job.result(folder), time.monotonic() - started)
        return known[name]

    return get


def trials(name: str, fast: int, slow: int, total: int) -> list[Any]:
    """The first ``fast`` of the trials are in the fast suite, those up to ``slow`` in the slow one."""
    marks = [[], [pytest.mark.slow], [pytest.mark.long]]
    return [pytest.param(name, trial, marks=marks[(trial >= fast) + (trial >= slow)]) for trial in range(total)]


INJECTED = [
    *trials("joint", 1, 6, 48),
    *trials("rcnn", 0, 5, 36),
    *trials("proposals", 0, 2, 20),
    *trials("prediction", 0, 9, 26),
]
AT_RANDOM = [
    *trials("joint", 0, 3, 24),
    *trials("rcnn", 0, 3, 20),
    *trials("proposals", 0, 2, 12),
    *trials("prediction", 0, 2, 14),
]


def assert_resumes(
    job: UndisturbedJob, folder: Path, commands: Commands, record: Callable[[str, object], None]
) -> None:
    damaged = unreadable(folder)
    record("lost files", len(damaged))
    assert damaged == []
    again = job.job.run_again(commands, folder)
    assert again.statuses == [0], again.text
    wrong = differences(job.job.result(folder), job.result)
    record("wrong answers", len(wrong))
    assert wrong == []
    assert list(folder.rglob(".*")) == []  # neither files half written nor journals


@pytest.mark.parametrize(("name", "trial"), INJECTED)
def test_kill_at_a_file_operation_resumes_identically(
    name: str,
    trial: int,
    undisturbed: Get,
    commands: Commands,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    job, draw = undisturbed(name), random.Random(f"{name} {trial}")
    operation = NAMES[trial % len(NAMES)]
    indices = [index for index, line in enumerate(job.operations, 1) if line.startswith(operation)]
    kind, index = KILLS[trial % len(KILLS)], draw.choice(indices)
    killed = commands(*job.job.start(tmp_path / "out"), fault=Fault(str(tmp_path / "out"), index, kind))
    record_property("kills", 1)
    assert killed.statuses == [-9], (kind, job.operations[index - 1], killed.text)
    assert_resumes(job, tmp_path / "out", commands, record_property)


@pytest.mark.parametrize(("name", "trial"), AT_RANDOM)
def test_kill_at_a_random_time_resumes_identically(
    name: str,
    trial: int,
    undisturbed: Get,
    commands: Commands,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    job = undisturbed(name)
    fraction = random.Random(f"{name} {trial} at random").uniform(0.1, 0.9)
    folder, statuses, seconds = tmp_path / "out", [0], job.seconds
    for attempt in range(8):  # on a busy machine no two runs take the same time: one may end before its kill
        folder, started = tmp_path / f"out{attempt}", time.monotonic()
        statuses = commands(*job.job.start(folder), kill_after=fraction * seconds * 0.8**attempt).statuses
        if statuses != [0]:
            break
        seconds = time.monotonic() - started
    record_property("kills", 1)
    assert statuses == [-9]
    assert_resumes(job, folder, commands, record_property)


@pytest.mark.parametrize("name", ["joint"])
def test_rename_follows_sync_of_the_file_and_precedes_sync_of_the_folder(name: str, undisturbed: Get) -> None:
    operations = undisturbed(name).operations
    renames = [index for index, line in enumerate(operations) if line.startswith("rename")]
    for index in renames:
        file = operations[index].split()[1]
        last = operations[index - 1].split()
        assert last[0] == "sync"
        assert last[1].startswith(f".{file}.")
        assert operations[index + 1].startswith("sync ")
    assert len(renames) > 10
