from __future__ import annotations

import json
from pathlib import Path

import pytest

from detect.errors import UserError
from detect.report.run_facts import read_run
from detect.training.run_folder import RunFolder


def folder(path: Path, **files: str) -> RunFolder:
    for name, text in {
        "config.yaml": "seed: 1\n",
        **{name.replace("_", "."): text for name, text in files.items()},
    }.items():
        (path / name).write_text(text, encoding="utf-8")
    return RunFolder(path)


def test_read_run_of_a_new_run(tmp_path: Path) -> None:
    facts = read_run(folder(tmp_path, metrics_csv=""))
    assert (facts.settings, facts.environment, facts.log, facts.num_more_lines) == ("seed: 1\n", (), (), 0)
    assert (facts.curves, facts.batches) == ({}, ())


def test_read_run_of_a_full_folder(tmp_path: Path) -> None:
    environment = {"command": ["detect", "train", "a b"], "commit": None, "packages": {"torch": "2.15", "x": None}}
    lines = ["stage 1 of 2", "step 20/60 epoch 1.00 lr 0.1", *(f"line {n}" for n in range(500))]
    run = folder(
        tmp_path, environment_json=json.dumps(environment), log_txt="\n".join(lines), metrics_csv="step,loss\n1,2\n"
    )
    (tmp_path / "network").mkdir()
    (tmp_path / "network" / "metrics.csv").write_text("step,loss\n1,3\n")
    (tmp_path / "batch-1.jpg").touch()
    facts = read_run(run)
    assert facts.environment == (("command", "detect train 'a b'"), ("torch", "2.15"))
    assert facts.log[:2] == ("stage 1 of 2", "line 0")
    assert (len(facts.log), facts.num_more_lines) == (400, 101)
    assert facts.curves == {"": {"step": [1], "loss": [2]}, "network": {"step": [1], "loss": [3]}}
    assert [file.name for file in facts.batches] == ["batch-1.jpg"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"environment_json": "{"}, r"environment\.json: expected JSON, found"),
        ({"environment_json": "3"}, r"environment\.json: expected an object, found int"),
        ({"metrics_csv": "a,b\n"}, r"metrics\.csv: expected a column step or epoch, found a, b"),
    ],
)
def test_read_run_damaged_file_raises(files: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        read_run(folder(tmp_path, **files))
