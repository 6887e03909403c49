"""Ray as a scheduler of shards: an actor is killed in the middle, and there is one row for each photo."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from detect.inference.shards.job import Job
from detect.inference.shards.manifest import ensure_manifest
from detect.inference.shards.ray_workers import RayWorkers
from detect.inference.shards.run_shard import ShardSummary
from detect.inference.shards.schedule import run_in_workers
from detect.inference.shards.verify import verify_parts
from tests.inference.shards.stub_model import FAST, LoadStub, run_stub, write_photos

pytest.importorskip("pyarrow", reason="the extra scale is not installed")
pytest.importorskip("ray", reason="the extra scale is not installed")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_actors_write_the_same_parts_though_one_is_killed(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 200)
    assert run_stub(str(tmp_path / "photos"), Job(LoadStub(), str(tmp_path / "local"), FAST, 2)) == []
    job = Job(LoadStub(seconds=0.01), str(tmp_path / "ray"), FAST, 2)
    manifest = ensure_manifest(job.folder(), str(tmp_path / "photos"), 10)
    done: list[int] = []

    def report(summary: ShardSummary) -> None:
        done.append(summary.number)
        if len(done) == 3:
            os.kill(actors()[0], signal.SIGKILL)

    workers = RayWorkers(job, 2)
    assert workers.num_workers == 2
    assert run_in_workers(workers, 2, range(manifest.num_shards), report) == []
    assert sorted(done) == list(range(20))
    assert verify_parts(job.folder()).statuses == {"ok": 200}
    local, ray = (
        {file.name: file.read_bytes() for file in (tmp_path / out).glob("part-*")} for out in ("local", "ray")
    )
    assert local == ray


def actors() -> list[int]:
    return [
        int(process.name)
        for process in Path("/proc").iterdir()
        if process.name.isdecimal() and (process / "cmdline").read_bytes().startswith(b"ray::_Actor")
    ]
