"""kill -9 of the driver and of its workers: after a restart there is one row for each photo."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from detect.inference.shards.stores import OutputFolder
from detect.inference.shards.verify import verify_parts
from tests.inference.shards.stub_model import FAST, write_photos

pytest.importorskip("pyarrow", reason="the extra scale is not installed")
parquet = pytest.importorskip("pyarrow.parquet")

ROOT = Path(__file__).resolve().parents[3]
Record = Callable[[str, object], None]
SHARD = 10  # photos
OPERATIONS = 13  # on files of the folder in a run of two shards: three for the manifest, five for each part
WRITES = (4, 9)  # of them, the only ones that a kill can stop halfway
FAULTS = [
    *((operation, kind) for operation in range(1, OPERATIONS + 1) for kind in ("kill before", "kill after")),
    (WRITES[0], "kill within"),
]
MOMENTS = [("worker", 90), ("driver", 60)]
MORE_MOMENTS = [
    (target, int(lines))
    for target in ("driver", "worker")
    for lines in np.random.default_rng(30).integers(0, 190, size=10)
]


def command(tmp_path: Path, num_workers: int, *fault: object) -> list[str]:
    arguments = (tmp_path / "photos", tmp_path / "out", num_workers, tmp_path / "log", *fault)
    return [sys.executable, "-m", "tests.inference.shards.stub_model", *map(str, arguments)]


def start(tmp_path: Path, num_workers: int, *fault: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command(tmp_path, num_workers, *fault), cwd=ROOT, stdout=subprocess.DEVNULL)


def check_rows(tmp_path: Path, urls: list[str], most_again: int) -> None:
    """One row a photo, all parts whole, and at most so many photos detected on twice."""
    verification = verify_parts(OutputFolder(str(tmp_path / "out"), FAST))
    assert (verification.missing, verification.faults) == ((), ())
    parts = sorted((tmp_path / "out").glob("*.parquet"))
    assert [url for part in parts for url in parquet.read_table(part).column("url").to_pylist()] == urls
    detected = Counter((tmp_path / "log").read_text().splitlines())
    assert set(detected) == set(urls)
    assert detected.total() <= len(urls) + most_again


def kill_at_operation(tmp_path: Path, operation: int, kind: str) -> None:
    urls = write_photos(tmp_path / "photos", 2 * SHARD)
    assert start(tmp_path, 1, operation, kind).wait(120) == -signal.SIGKILL
    assert start(tmp_path, 1).wait(120) == 0
    check_rows(tmp_path, urls, SHARD)


def test_kill_within_a_file_operation(tmp_path: Path, record_property: Record) -> None:
    record_property("kills", 1)
    kill_at_operation(tmp_path, WRITES[1], "kill within")  # half of the second part is written


@pytest.mark.slow
@pytest.mark.parametrize(("operation", "kind"), FAULTS)
def test_kill_at_each_file_operation(tmp_path: Path, operation: int, kind: str, record_property: Record) -> None:
    record_property("kills", 1)
    kill_at_operation(tmp_path, operation, kind)


@pytest.mark.slow
def test_operations_are_those_that_are_counted(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 2 * SHARD)
    operations = tmp_path / "operations"
    assert start(tmp_path, 1, OPERATIONS + 1, "kill before", operations).wait(120) == 0
    names = [line.split()[0] for line in operations.read_text().splitlines()]
    assert len(names) == OPERATIONS
    assert [index for index, name in enumerate(names, 1) if name == "write"] == list(WRITES)


@pytest.mark.slow
@pytest.mark.parametrize(("target", "lines"), MOMENTS)
def test_kill_of_driver_and_worker(tmp_path: Path, target: str, lines: int, record_property: Record) -> None:
    record_property("kills", 1)
    kill_at_moment(tmp_path, target, lines)


@pytest.mark.slow
@pytest.mark.parametrize(("target", "lines"), MORE_MOMENTS)
def test_kill_at_20_moments(tmp_path: Path, target: str, lines: int, record_property: Record) -> None:
    record_property("kills", 1)
    kill_at_moment(tmp_path, target, lines)


def kill_at_moment(tmp_path: Path, target: str, lines: int) -> None:
    """Kill when so many photos of 200 are done; a run whose worker dies goes on, one whose driver dies is restarted."""
    urls = write_photos(tmp_path / "photos", 20 * SHARD)
    process = start(tmp_path, 2)
    wait_until(lambda: count_lines(tmp_path / "log") >= lines and bool(workers_of(process.pid)))
    workers = workers_of(process.pid)
    os.kill(process.pid if target == "driver" else workers[0], signal.SIGKILL)
    status = process.wait(120)
    if target == "driver":
        assert status == -signal.SIGKILL
        wait_until(lambda: not any(map(is_running, workers)))
        assert start(tmp_path, 2).wait(120) == 0
    else:
        assert status == 0
    check_rows(tmp_path, urls, 2 * SHARD)


def wait_until(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.005)


def count_lines(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


def workers_of(pid: int) -> list[int]:
    """The processes that run shards, of the children: Python's tracker of resources is one too."""
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return [child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
    except OSError:
        return []


def is_running(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:  # it ended, perhaps between the opening and the reading
        return False
