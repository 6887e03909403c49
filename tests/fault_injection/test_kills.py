"""Work that is ended by SIGKILL leaves no damaged file, and goes on to the same results, bit for bit.

Five kills in the fast suite, fifty by ``pytest -m slow tests/fault_injection/test_kills.py``.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fault_injection import jobs
from tests.fault_injection.commands import Commands, differences
from tests.fault_injection.jobs import Job, unreadable, watched
from tests.fault_injection.planted import KILLS, Fault

NAMES = ("write", "sync", "rename", "flush")  # of operations


@dataclass(frozen=True)
class Whole:
    """A job carried out undisturbed: its operations on files, its result, and how long it took."""

    job: Job
    operations: list[str]
    result: Any
    seconds: float


Get = Callable[[str], Whole]


@pytest.fixture(scope="module")
def whole(commands: Commands, shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Get:
    place, known = tmp_path_factory.mktemp("whole"), dict[str, Whole]()

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

    def get(name: str) -> Whole:
        if name not in known:
            job, folder = makers[name](), place / name
            started = time.monotonic()
            operations = watched(job, commands, folder)
            known[name] = Whole(job, operations, job.result(folder), time.monotonic() - started)
        return known[name]

    return get


def trials(name: str, fast: int, count: int) -> list[Any]:
    return [pytest.param(name, trial, marks=[] if trial < fast else [pytest.mark.slow]) for trial in range(count)]


INJECTED = [
    *trials("joint", 2, 12),
    *trials("rcnn", 1, 9),
    *trials("proposals", 1, 3),
    *trials("prediction", 1, 6),
]
AT_RANDOM = [
    *trials("joint", 0, 6),
    *trials("rcnn", 0, 6),
    *trials("proposals", 0, 4),
    *trials("prediction", 0, 4),
]


def assert_goes_on(done: Whole, folder: Path, commands: Commands, record: Callable[[str, object], None]) -> None:
    damaged = unreadable(folder)
    record("lost files", len(damaged))
    assert damaged == []
    again = done.job.go_on(commands, folder)
    assert again.statuses == [0], again.text
    wrong = differences(done.job.result(folder), done.result)
    record("wrong answers", len(wrong))
    assert wrong == []
    assert list(folder.rglob(".*")) == []  # neither files half written nor journals


@pytest.mark.parametrize(("name", "trial"), INJECTED)
def test_a_kill_at_an_operation_on_a_file(
    name: str,
    trial: int,
    whole: Get,
    commands: Commands,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    done, draw = whole(name), random.Random(f"{name} {trial}")
    wanted = NAMES[trial % len(NAMES)]
    places = [place for place, line in enumerate(done.operations, 1) if line.startswith(wanted)]
    kind, place = KILLS[trial % len(KILLS)], draw.choice(places)
    killed = commands(*done.job.begin(tmp_path / "out"), fault=Fault(str(tmp_path / "out"), place, kind))
    record_property("kills", 1)
    assert killed.statuses == [-9], (kind, done.operations[place - 1], killed.text)
    assert_goes_on(done, tmp_path / "out", commands, record_property)


@pytest.mark.parametrize(("name", "trial"), AT_RANDOM)
def test_a_kill_at_any_time(
    name: str,
    trial: int,
    whole: Get,
    commands: Commands,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    done = whole(name)
    after = done.seconds * random.Random(f"{name} {trial} at random").uniform(0.1, 0.9)
    killed = commands(*done.job.begin(tmp_path / "out"), kill_after=after)
    record_property("kills", 1)
    assert killed.statuses in ([-9], [0])  # it may have been faster than before
    assert_goes_on(done, tmp_path / "out", commands, record_property)


@pytest.mark.parametrize("name", ["joint"])
def test_a_name_is_taken_when_the_content_is_safe_and_then_the_folder_is_made_so(name: str, whole: Get) -> None:
    operations = whole(name).operations
    renames = [place for place, line in enumerate(operations) if line.startswith("rename")]
    for place in renames:
        file = operations[place].split()[1]
        last = operations[place - 1].split()
        assert last[0] == "sync"
        assert last[1].startswith(f".{file}.")
        assert operations[place + 1].startswith("sync ")
    assert len(renames) > 10
