"""Two processes do what one does with the same batches, and neither waits for one that is gone."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # exported by a star

from detect.checkpoints.checkpoint import load_checkpoint
from detect.data.loading.batch_sampler import BatchSampler, DistributedBatchSampler
from detect.system.distributed import ProcessGroup
from detect.types import MeanLoss
from tests.fault_injection.command_client import ROOT, Commands
from tests.fault_injection.file_faults import Fault
from tests.fault_injection.fixtures_jobs import settings

Record = Callable[[str, object], None]


@pytest.mark.parametrize("count", [0, 1, 2, 5, 8])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_shards_interleave_to_the_whole(count: int, size: int) -> None:
    items = list(range(count))
    groups = [ProcessGroup(rank, size) for rank in range(size)]
    shares = [list(group.shard(items)) for group in groups]
    assert groups[0].interleave(shares) == items
    plan = BatchSampler([(4, 3)] * max(1, count), 2, 0, (9,), 7, 1)
    dealt = [list(DistributedBatchSampler(plan, rank, size)) for rank in range(size)]
    assert all(len(each) == len(plan) for each in dealt)
    assert [groups[0].interleave(parts) for parts in zip(*dealt, strict=True)] == list(plan)


def test_single_process_changes_nothing() -> None:
    group, value = ProcessGroup(), torch.tensor(0.3)
    assert torch.equal(group.global_mean_parts({"a": MeanLoss(value, 3), "b": MeanLoss(value, 0)})["a"], value)
    assert group.sum_by_name({"a": 2.0}) == {"a": 2.0}
    assert group.global_mean_parts({}) == {}
    assert (group.any([]), group.any([True, False])) == ([], [True, False])
    assert group.is_main


@pytest.fixture(scope="module")
def config(shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Batches of three images and of one: then the second process has none. Group normalisation."""
    content = settings(shapes_root, train={"batch_size": 3, "steps": 5, "checkpoint_every": 2, "log_every": 2})
    content["model"]["backbone"]["norm"] = "group"
    file = tmp_path_factory.mktemp("processes") / "tiny.yaml"
    file.write_text(yaml.safe_dump(content), "utf-8")
    return file


@pytest.fixture(scope="module")
def alone(config: Path, commands: Commands) -> Path:
    folder = config.parent / "alone"
    commands.run_ok("train", "--config", config, "--out", folder)
    return folder


@pytest.fixture(scope="module")
def together(config: Path, alone: Path, commands: Commands) -> Path:  # noqa: ARG001 - which draws the data
    folder = config.parent / "together"
    text = commands.run_ok("train", "--config", config, "--out", folder, processes=2)
    assert text.count("5 steps of 3 images") == 1  # the leader alone says so
    assert "2 processes share each batch of 3 images; the learning rate, 0.01, is for the whole batch" in text
    return folder


def rows(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open(encoding="utf-8") as stream:
        return [
            {k: float(v or "nan") for k, v in row.items() if not k.endswith("_seconds")}
            for row in csv.DictReader(stream)
        ]


def assert_alike(first: Path, second: Path) -> None:
    """As far as sums in another order allow."""
    a, b = (load_checkpoint(folder / "last.pt") for folder in (first, second))
    assert a.step == b.step
    assert a.weights.keys() == b.weights.keys()
    for name in a.weights:
        torch.testing.assert_close(a.weights[name], b.weights[name], atol=1e-5, rtol=1e-4)
    for one, other in zip(rows(first), rows(second), strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-5, nan_ok=True)


@pytest.mark.slow
def test_two_processes_train_as_one(alone: Path, together: Path, record_property: Record) -> None:
    assert_alike(alone, together)
    names = {file.name for file in together.iterdir()}
    assert names == {file.name for file in alone.iterdir()}
    record_property("runs by two processes", 1)


@pytest.mark.slow
def test_two_processes_score_exactly_as_one(
    alone: Path, commands: Commands, tmp_path: Path, record_property: Record
) -> None:
    for count in (0, 2):
        outputs = ["--save", tmp_path / f"{count}.json", "--json", tmp_path / f"score-{count}.json"]
        commands.run_ok("eval", alone, "--split", "train", "--set", "train.batch_size=1", *outputs, processes=count)
    assert (tmp_path / "0.json").read_bytes() == (tmp_path / "2.json").read_bytes()
    scores = [yaml.safe_load((tmp_path / f"score-{count}.json").read_text()) for count in (0, 2)]
    assert scores[0] | {"seconds": 0} == scores[1] | {"seconds": 0}
    record_property("runs by two processes", 1)


@pytest.fixture(scope="module")
def images(config: Path, alone: Path, shapes_root: Path) -> Path:  # noqa: ARG001 - which draws the data
    """Four images of shapes, and one that cannot be read."""
    (drawn,) = shapes_root.glob("*4x2/train")
    folder = config.parent / "images"
    shutil.copytree(drawn, folder)
    (folder / "00000 broken.jpg").write_text("no image", "utf-8")
    return folder


def below(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def predict(model: Path, images: Path, out: Path, batch_size: int = 1) -> list[object]:
    formats = [part for name in ("json", "csv", "coco", "images") for part in ("--format", name)]
    few = ["--batch-size", batch_size, "--workers", 0, "--score", 0.01, "--precision", "fp32"]
    return ["predict", model, images, "--out", out, *few, *formats]


# five batches; two, of one canvas each
@pytest.mark.parametrize("batch_size", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_two_processes_predict_exactly_as_one(
    batch_size: int, alone: Path, images: Path, commands: Commands, tmp_path: Path, record_property: Record
) -> None:
    for count in (0, 2):
        done = commands(*predict(alone, images, tmp_path / str(count), batch_size), processes=count)
        assert set(done.statuses) == {1}  # on all: of the broken image
        assert done.text.count("00000 broken.jpg: ") == 1  # by the leader alone
        assert "in 4 images" in done.text
    assert below(tmp_path / "0") == below(tmp_path / "2")
    record_property("runs by two processes", 1)


@pytest.mark.slow
@pytest.mark.parametrize("faulty_rank", [0, 1])
@pytest.mark.parametrize(("first", "later"), [(2, 0), (0, 2)])
def test_killed_prediction_resumes_with_any_number_of_processes(
    faulty_rank: int,
    first: int,
    later: int,
    alone: Path,
    images: Path,
    commands: Commands,
    tmp_path: Path,
    record_property: Record,
) -> None:
    if first <= faulty_rank:
        pytest.skip("there is no such process")
    commands(*predict(alone, images, tmp_path / "whole"))
    command = predict(alone, images, out := tmp_path / "out")
    fault = Fault(str(out / "images"), 8, "kill before")  # in the second of its pictures, of five operations each
    killed = commands(*command, processes=first, fault=fault, faulty_rank=faulty_rank)
    assert killed.statuses[faulty_rank] == -9, killed.text
    assert all(status == 1 for rank, status in enumerate(killed.statuses) if rank != faulty_rank)
    record_property("kills", 1)
    again = commands(*command, processes=later)
    assert set(again.statuses) == {1}, again.text
    assert "of 5 images were done before" in again.text
    assert below(tmp_path / "whole") == below(out)


@pytest.mark.slow
@pytest.mark.parametrize("faulty_rank", [0, 1])
@pytest.mark.parametrize("later", [0, 2])
def test_killed_process_ends_the_other_and_the_run_resumes(
    faulty_rank: int,
    later: int,
    config: Path,
    alone: Path,
    commands: Commands,
    tmp_path: Path,
    record_property: Record,
) -> None:
    folder = tmp_path / "run"
    begin = ["train", "--config", config, "--out", folder]
    if faulty_rank == 0:
        fault = Fault(str(folder / "metrics.csv"), 5, "kill before")
        killed = commands(*begin, processes=2, fault=fault)
    else:
        killed = commands(*begin, processes=2, faulty_rank=1, kill_when="step 2/5")
    record_property("kills", 1)
    assert killed.statuses[faulty_rank] == -9, killed.text
    assert killed.statuses[1 - faulty_rank] == 1
    assert "expected 2 processes to the end, found one that is gone" in killed.text
    assert "Traceback" not in killed.text
    commands.run_ok("train", "--resume", folder, processes=later)
    assert_alike(alone, folder)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"kind": "rcnn", "proposals": "selective_search"}, "train.recipe: expected joint with 2 processes, found rcnn"),
    (
        {"backbone": {"name": "small", "neck_channels": 8, "norm": "sync"}},
        "model.backbone.norm: expected frozen, batch or group in processes on CPUs, found sync",
    ),
]


@pytest.mark.parametrize(("model", "message"), REFUSED)
def test_settings_that_processes_cannot_share_are_refused(
    model: dict[str, Any], message: str, shapes_root: Path, alone: Path, commands: Commands, tmp_path: Path
) -> None:
    content = settings(shapes_root)
    content["model"] = model if "kind" in model else content["model"] | model
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(content), "utf-8")
    assert alone.is_dir()
    done = commands("train", "--config", tmp_path / "a.yaml", "--out", tmp_path / "run", processes=2)
    assert done.statuses == [2, 2], done.text
    assert message in done.text


ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]


def torchrun(*arguments: object) -> str:
    """Run torchrun to its end, which must succeed; return the printed text."""
    command = [*TORCHRUN, "--standalone", "--nproc-per-node", "2", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_torchrun_starts_a_training(config: Path, alone: Path, tmp_path: Path) -> None:
    torchrun("-m", "detect", "train", "--config", config, "--out", tmp_path / "run")
    assert_alike(alone, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize(("rank", "step"), [(1, 3), (0, 3), (1, 0)])  # the last before there is a checkpoint
def test_torchrun_restarts_a_training_of_which_a_worker_is_killed(
    rank: int, step: int, config: Path, alone: Path, tmp_path: Path, record_property: Record
) -> None:
    worker = ["-m", "tests.fault_injection.killed_worker", rank, step, "alone"]
    text = torchrun("--max-restarts", 1, *worker, "train", "--config", config, "--out", tmp_path / "run")
    assert re.search(r"Signal 9|exitcode: -9", text), text
    assert text.count("5 steps of 3 images") == 2  # the header of the run and of its rest
    assert_alike(alone, tmp_path / "run")
    record_property("kills", 1)


@pytest.mark.slow
def test_training_goes_on_with_one_process_where_a_machine_is_lost(
    config: Path, alone: Path, tmp_path: Path, record_property: Record
) -> None:
    """Two agents of torchrun, as on two machines; the second one and its worker are killed in step 3."""
    # The store is neither agent's: it must outlive the one that is killed, and which of them would start it is chance.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    patience = "is_host=0,keep_alive_interval=1,keep_alive_max_attempt=8,last_call_timeout=10"
    options = ["--nnodes", "1:2", "--nproc-per-node", "1", "--max-restarts", "3", "--rdzv-backend", "c10d"]
    options += ["--rdzv-endpoint", f"127.0.0.1:{store.port}", "--rdzv-id", "job", "--rdzv-conf", patience]
    worker = ["-m", "tests.fault_injection.killed_worker", "1", "3", "agent"]
    command = [*TORCHRUN, *options, *worker, "train", "--config", str(config), "--out", str(tmp_path / "run")]
    start = partial(subprocess.Popen, command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE)
    agents = [start(stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    texts = [agent.communicate(timeout=600)[0] for agent in agents]
    assert sorted(agent.returncode for agent in agents) == [-9, 0], texts
    text = "".join(texts)
    assert text.count("2 processes share each batch") == 1
    assert text.count("5 steps of 3 images") == 2
    assert_alike(alone, tmp_path / "run")
    record_property("kills", 1)
