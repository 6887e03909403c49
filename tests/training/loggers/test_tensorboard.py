from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import pytest
import yaml

from detect.config import Config
from detect.config.files import load_config, with_overrides
from detect.errors import UserError
from detect.training.loggers.registry import require_loggers
from detect.training.run import resume, train
from tests.conftest import TINY, Command


def tiny(folder: Path, shapes_root: Path, *more: str) -> Config:
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    return load_config(folder / "tiny.yaml", [f"data.root={shapes_root}", "train.loggers=[tensorboard]", *more])


@pytest.fixture
def without_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # noqa: ARG005


@pytest.mark.usefixtures("without_package")
def test_require_loggers_without_package_is_one_line() -> None:
    require_loggers(Config())
    with pytest.raises(UserError, match=r"^train\.loggers: tensorboard: .* found none; fix: pip install tensorboard$"):
        require_loggers(with_overrides(Config(), ["train.loggers=[tensorboard]"]))
    with pytest.raises(UserError, match=r"^train\.loggers: mlflow: .* fix: pip install mlflow-skinny$"):
        require_loggers(with_overrides(Config(), ["train.loggers=[mlflow]"]))


@pytest.mark.usefixtures("without_package")
def test_train_without_tensorboard_fails_before_any_work(tmp_path: Path, detect_command: Command) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    data, run = tmp_path / "data", tmp_path / "run"
    settings = ["--set", "train.tensorboard=true", "--set", f"data.root={data}"]
    status, _, err = detect_command("train", "--config", tmp_path / "tiny.yaml", *settings, "--out", run)
    assert status == 2
    assert err == f"detect: {require_error()}\n"
    assert not data.exists()
    assert not run.exists()


@pytest.mark.usefixtures("without_package")
def test_resume_without_tensorboard_fails(tmp_path: Path, shapes_root: Path) -> None:
    from detect.training.run_folder import RunFolder

    RunFolder.create(tmp_path / "run", tiny(tmp_path, shapes_root), ["detect"])
    with pytest.raises(UserError, match="pip install tensorboard"):
        resume(tmp_path / "run")


def require_error() -> str:
    with pytest.raises(UserError) as error:
        require_loggers(with_overrides(Config(), ["train.loggers=[tensorboard]"]))
    return str(error.value)


def test_event_files_hold_the_rows_of_metrics_csv(tmp_path: Path, shapes_root: Path) -> None:
    pytest.importorskip("tensorboard", reason="the package tensorboard is optional, and not installed here")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(tiny(tmp_path, shapes_root, "train.steps=5"), tmp_path / "run")
    resume(tmp_path / "run")  # nothing is left to do, and nothing is lost
    events = EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    written = {(tag, event.step): event.value for tag in events.Tags()["scalars"] for event in events.Scalars(tag)}
    expected: dict[tuple[str, int], float] = {}
    for row in csv.DictReader((tmp_path / "run" / "metrics.csv").read_text().splitlines()):
        tags = {"loss": "train/loss", "region_box": "train/region_box", "lr": "lr", "val_AP50": "val/AP50"}
        expected |= {(tag, int(row["step"])): float(row[name]) for name, tag in tags.items() if row[name]}
    assert len(expected) >= 7
    assert {key: written[key] for key in expected} == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert {"batch-1", "curves", "validation"} <= set(events.Tags()["images"])
