from __future__ import annotations

import json
from pathlib import Path

import pytest

from detect.config import Config
from detect.config.files import load_config
from detect.errors import UserError
from detect.training.run_folder import PACKAGES, RunFolder


@pytest.mark.parametrize("exists", [False, True])
def test_create_writes_config_and_environment(tmp_path: Path, exists: bool) -> None:
    path = tmp_path / "runs" / "a"
    if exists:
        path.mkdir(parents=True)
    config = Config(seed=4)
    run = RunFolder.create(path, config, ["detect", "train"])
    assert load_config(run.config_file) == config
    environment = json.loads((path / "environment.json").read_text())
    assert environment["command"] == ["detect", "train"]
    assert set(environment["packages"]) == set(PACKAGES)
    assert environment["packages"]["torch"]
    assert {"commit", "python", "platform"} <= set(environment)
    assert environment["cuda"] is None


@pytest.mark.parametrize("existing", ["folder with a file", "file"])
def test_create_in_a_folder_with_files_is_refused(tmp_path: Path, existing: str) -> None:
    path = tmp_path / "a"
    other = path if existing == "file" else path / "metrics.csv"
    other.parent.mkdir(exist_ok=True)
    other.write_text("mine")
    with pytest.raises(UserError, match=r"a: expected a new or empty folder for --out.*--resume"):
        RunFolder.create(path, Config(), [])
    assert other.read_text() == "mine"
    assert len(list(tmp_path.rglob("*"))) == (1 if existing == "file" else 2)


def test_next_free_is_the_first_unused_number(tmp_path: Path) -> None:
    assert RunFolder.next_free("x", tmp_path) == tmp_path / "x-1"
    for name in ("x-1", "x-3", "y-2"):
        (tmp_path / name).mkdir()
    assert RunFolder.next_free("x", tmp_path) == tmp_path / "x-2"


def lines(run: RunFolder) -> list[str]:
    return run.metrics.read_text().splitlines()


def test_add_metrics_keeps_columns_and_adds_new_ones(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.add_metrics({"step": 1, "loss": 0.123456789, "mAP": None})
    run.add_metrics({"loss": 1e-7, "step": 2})
    run.add_metrics({"step": 3, "loss": 2.0, "mAP": 0.5})
    assert lines(run) == ["step,loss,mAP", "1,0.123457,", "2,1e-07,", "3,2,0.5"]
    run.add_metrics({"step": 4, "AP50": 1.0})  # a validation may come before the first losses
    assert lines(run) == ["step,loss,mAP,AP50", "1,0.123457,,", "2,1e-07,,", "3,2,0.5,", "4,,,1"]


@pytest.mark.parametrize(
    "left", [b"st", b"step,loss\n1,1\n2", b"step,loss\n1,1\n\xff\x00,,\n", b"step,loss\n1,1\nx,2\n"]
)
def test_truncate_after_removes_damaged_rows(left: bytes, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.metrics.write_bytes(left)
    run.truncate_after(5)
    run.add_metrics({"step": 6, "loss": 2.0})
    assert lines(run) == (["step,loss", "1,1", "6,2"] if b"\n" in left else ["step,loss", "6,2"])


def test_create_in_a_folder_with_only_temp_files_succeeds(tmp_path: Path) -> None:
    (tmp_path / ".config.yaml.x1y2.aside").write_text("mod")
    RunFolder.create(tmp_path, Config(), [])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.yaml", "environment.json"]


@pytest.mark.parametrize(
    ("step", "remaining"), [(0, []), (10, ["10"]), (15, ["10"]), (20, ["10", "20"]), (99, ["10", "20"])]
)
def test_truncate_after_removes_later_rows(tmp_path: Path, step: int, remaining: list[str]) -> None:
    run = RunFolder(tmp_path)
    for row in (10, 20):
        run.add_metrics({"step": row, "loss": 1.0})
    with run.metrics.open("a") as stream:
        stream.write("30")  # cut off by a kill
    run.truncate_after(step)
    assert lines(run) == ["step,loss", *(f"{row},1" for row in remaining)]
    run.add_metrics({"step": step + 1, "loss": 2.0})
    assert lines(run)[-1] == f"{step + 1},2"


@pytest.mark.parametrize("content", [None, ""])
def test_truncate_after_without_metrics_does_nothing(tmp_path: Path, content: str | None) -> None:
    run = RunFolder(tmp_path)
    if content is not None:
        run.metrics.write_text(content)
    run.truncate_after(5)
    assert run.metrics.exists() == (content is not None)
    run.add_metrics({"step": 6})
    assert lines(run) == ["step", "6"]


def test_log_appends_lines(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.log("eins")
    run.log("zwölf")
    assert run.log_file.read_text(encoding="utf-8") == "eins\nzwölf\n"
