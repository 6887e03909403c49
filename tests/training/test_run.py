from __future__ import annotations

import copy
import csv
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from detect.checkpoints.checkpoint import load_checkpoint
from detect.config import Config
from detect.config.files import parse_config, to_yaml, with_overrides
from detect.data.images import image_size
from detect.data.loading.collate import Batch
from detect.errors import UserError
from detect.training import trainer as trainer_module
from detect.training.curves import draw_curves
from detect.training.loop import Interrupted
from detect.training.run import device_of_run, resume, train
from tests.conftest import TINY


def tiny(shapes_root: Path, **changes: dict[str, Any]) -> Config:
    settings = copy.deepcopy(TINY)
    settings["data"]["root"] = str(shapes_root)  # type: ignore[index]
    for section, values in changes.items():
        settings[section].update(values)  # type: ignore[attr-defined]
    return parse_config(settings, "tiny")


@pytest.fixture
def quiet() -> Console:
    return Console(quiet=True)


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[], None]) -> None:
    """``act`` when the loop gets the batch after ``step`` steps, once."""
    show = trainer_module.Trainer._draw_batch
    done: list[bool] = []

    def hooked(self: Any, now: int, batch: Batch) -> None:
        if now == step and not done:
            done.append(True)
            act()
        show(self, now, batch)

    monkeypatch.setattr(trainer_module.Trainer, "_draw_batch", hooked)


def rows_without_seconds(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(encoding="utf-8") as stream:
        return [{k: v for k, v in row.items() if not k.endswith("_seconds")} for row in csv.DictReader(stream)]


def assert_same_run(first: Path, second: Path) -> None:
    a, b = load_checkpoint(first / "last.pt"), load_checkpoint(second / "last.pt")
    assert a.step == b.step
    assert a.metrics == b.metrics
    assert a.weights.keys() == b.weights.keys()
    assert all(torch.equal(a.weights[name], b.weights[name]) for name in a.weights)
    assert a.training is not None
    assert b.training is not None
    assert all(torch.equal(a.training["weights"][name], b.training["weights"][name]) for name in a.weights)
    states = [checkpoint["optimizer"]["state"] for checkpoint in (a.training, b.training)]
    assert all(
        torch.equal(states[0][parameter][name], states[1][parameter][name])
        for parameter in states[0]
        for name in states[0][parameter]
        if isinstance(states[0][parameter][name], torch.Tensor)
    )
    assert rows_without_seconds(first) == rows_without_seconds(second)


@pytest.fixture(scope="module")
def whole_run(shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(trainer_module, "draw_curves", draw_curves)
        train(tiny(shapes_root), folder, Console(quiet=True))
    return folder


def test_run_folder_has_all_files_and_metrics_rows(whole_run: Path) -> None:
    names = {file.name for file in whole_run.iterdir()}
    expected = {"config.yaml", "metrics.csv", "log.txt", "last.pt", "best.pt", "environment.json", "batch-1.jpg"}
    assert names >= expected | {"validation.jpg", "curves.png"}
    assert image_size(whole_run / "curves.png") == (768, 1200)  # two by two panels
    rows = rows_without_seconds(whole_run)
    assert [row["step"] for row in rows] == ["2", "3", "4", "6", "6", "7"]  # logged at 2, 4, 6; validated at 3, 6, 7
    assert all(float(row["loss"]) > 0 for row in rows if row["loss"])
    assert load_checkpoint(whole_run / "best.pt").training is None


@pytest.mark.slow
def test_train_with_same_seed_gives_same_weights(
    whole_run: Path, shapes_root: Path, tmp_path: Path, quiet: Console
) -> None:
    train(tiny(shapes_root), tmp_path / "again", quiet)
    assert_same_run(whole_run, tmp_path / "again")


@pytest.mark.parametrize("step", [1, *(pytest.param(step, marks=pytest.mark.slow) for step in (0, 3, 5))])
def test_killed_run_resumed_equals_an_undisturbed_one(
    step: int, whole_run: Path, shapes_root: Path, tmp_path: Path, quiet: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die() -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        at_step(patched, step, die)
        with pytest.raises(ZeroDivisionError):
            train(tiny(shapes_root), tmp_path / "cut", quiet)
    resume(tmp_path / "cut", quiet)
    assert_same_run(whole_run, tmp_path / "cut")


def test_a_resumed_run_has_the_rates_of_its_settings_and_names_what_was_changed(
    whole_run: Path, tmp_path: Path, quiet: Console
) -> None:
    cut = tmp_path / "cut"
    shutil.copytree(whole_run, cut)
    last = load_checkpoint(cut / "last.pt")
    assert last.step == 7
    config = with_overrides(last.config, ["train.lr=0.002", "train.weight_decay=0.01", "train.steps=9"])
    (cut / "config.yaml").write_text(to_yaml(config))
    resume(cut, quiet)
    groups = torch.load(cut / "last.pt", weights_only=True)["training"]["optimizer"]["param_groups"]
    assert {group["peak"] for group in groups} == {0.002}
    assert max(group["weight_decay"] for group in groups) == 0.01
    log = (cut / "log.txt").read_text()
    assert "settings that were changed since the last checkpoint: train.steps 9 (before: 7), train.lr 0.002" in log
    (cut / "config.yaml").write_text(to_yaml(with_overrides(config, ["train.optimizer=adamw", "train.steps=10"])))
    with pytest.raises(UserError, match=r"train.optimizer: expected sgd, whose state .*last.pt has, found adamw"):
        resume(cut, quiet)


def test_metrics_of_a_checkpoint_are_those_of_its_weights(
    shapes_root: Path, tmp_path: Path, quiet: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop() -> None:
        raise ZeroDivisionError

    at_step(monkeypatch, 4, stop)  # validated at 3, saved at 4
    with pytest.raises(ZeroDivisionError):
        train(tiny(shapes_root), tmp_path / "cut", quiet)
    last, best = (load_checkpoint(tmp_path / "cut" / name) for name in ("last.pt", "best.pt"))
    assert (last.step, last.metrics) == (4, {})
    assert best.step == 3
    assert best.metrics


@pytest.mark.slow
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_says_how_to_resume_and_resumes(
    signal_number: int,
    whole_run: Path,
    shapes_root: Path,
    tmp_path: Path,
    quiet: Console,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        at_step(patched, 4, lambda: os.kill(os.getpid(), signal_number))
        with pytest.raises(Interrupted, match=r"after step 5; resume with: detect train --resume .*cut"):
            train(tiny(shapes_root), tmp_path / "cut", quiet)
    resume(tmp_path / "cut", quiet)
    assert_same_run(whole_run, tmp_path / "cut")


@pytest.mark.slow
def test_signal_to_all_processes_spares_the_workers(
    whole_run: Path, shapes_root: Path, tmp_path: Path, quiet: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end_all() -> None:
        workers = multiprocessing.active_children()
        assert workers
        for pid in (*(worker.pid for worker in workers), os.getpid()):
            assert pid is not None
            os.kill(pid, signal.SIGTERM)

    config = tiny(shapes_root, data={"workers": 2})
    with monkeypatch.context() as patched:
        at_step(patched, 4, end_all)
        with pytest.raises(Interrupted):
            train(config, tmp_path / "cut", quiet)
    resume(tmp_path / "cut", quiet)
    assert_same_run(whole_run, tmp_path / "cut")


def test_finished_run_resumed_is_unchanged(whole_run: Path, tmp_path: Path, quiet: Console) -> None:
    shutil.copytree(whole_run, tmp_path / "copy")
    resume(tmp_path / "copy", quiet)
    assert_same_run(whole_run, tmp_path / "copy")


def test_patience_stops_a_run_without_gain(shapes_root: Path, tmp_path: Path, quiet: Console) -> None:
    run, names = tmp_path / "run", ("last.pt", "best.pt", "metrics.csv")
    config = tiny(shapes_root, train={"patience": 1, "steps": None, "epochs": 9, "lr": 1e-12, "ema_decay": 0.0})
    train(config, run, quiet)
    assert load_checkpoint(run / "last.pt").step < 9 * 3
    before = [(run / name).read_bytes() for name in names]
    resume(run, quiet)
    assert [(run / name).read_bytes() for name in names] == before
    assert "nothing to resume: train.patience stopped the run after step" in (run / "log.txt").read_text()


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"optimizer": "sgd", "accumulate": 2, "clip": 1.0}, id="sgd"),
        pytest.param(
            {"optimizer": "rmsprop", "schedule": "cosine", "warmup": 0.5}, id="rmsprop", marks=pytest.mark.slow
        ),
        pytest.param({"optimizer": "adamw", "precision": "bf16"}, id="adamw", marks=pytest.mark.slow),
    ],
)
def test_train_runs_with_every_optimizer(
    changes: dict[str, Any], shapes_root: Path, tmp_path: Path, quiet: Console
) -> None:
    outcome = train(tiny(shapes_root, train=changes | {"steps": 2, "log_every": 1}), tmp_path / "run", quiet)
    assert outcome.score is not None
    assert outcome.score.images == 4


def test_unreadable_image_is_skipped_and_named(shapes_root: Path, tmp_path: Path, quiet: Console) -> None:
    from detect.data.shapes.dataset import prepare_shapes

    folder = prepare_shapes(shapes_root, 0, 12, 4)
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / "train" / "00003.jpg").write_bytes(b"no picture")
    sources = {
        split: [{"root": str(broken), "annotations": f"{split}.json", "images": split}] for split in ("train", "val")
    }
    outcome = train(tiny(shapes_root, data={"format": "coco", **sources}), tmp_path / "run", quiet)
    assert len(outcome.unreadable) == 1
    assert "00003.jpg" in outcome.unreadable[0]


def test_device_of_run_is_in_its_settings(shapes_root: Path, tmp_path: Path) -> None:
    from detect.training.run_folder import RunFolder

    config = tiny(shapes_root).model_copy(update={"device": "cpu"})
    RunFolder.create(tmp_path / "run", config, ["detect"])
    assert device_of_run(tmp_path / "run") == "cpu"
    assert device_of_run(tmp_path) == "auto"
