from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

import detect
from detect.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from detect.cli.pretrain import CLASSIFIER, NETWORK
from detect.config import Config
from detect.config.builders.data import split_data
from detect.config.files import load_config, to_yaml
from detect.evaluation.proposal_recall import measure
from detect.evaluation.proposal_report import COUNTS
from detect.inference.rpn_proposals import proposals_of_file
from detect.proposals.files import read_proposals
from detect.report import cache as kept
from detect.training.run_folder import RunFolder
from tests.conftest import TINY, Command
from tests.report.pages import seen


@pytest.fixture(scope="module")
def trained(shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    detect.train(load_config(folder / "tiny.yaml", [f"data.root={shapes_root}", "train.steps=2"]), folder / "run")
    return folder / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_a_run_becomes_a_page_and_nothing_is_detected_twice(
    run: Path, tmp_path: Path, detect_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {file.name: file.read_bytes() for file in run.iterdir()}
    status, out, err = detect_command("report", run)
    assert (status, err) == (0, "")
    assert out.startswith(f"{run / 'report.html'}: ")
    page = seen((run / "report.html").read_text(encoding="utf-8"))
    assert {"numbers", "gallery", "proposals", "training"} < set(page.ids())
    assert {file.name: file.read_bytes() for file in run.iterdir() if file.name in before} == before
    assert sorted(file.suffix for file in (run / "report").iterdir()) == [".json", ".npz"]
    detect_command("eval", run, "--save", tmp_path / "dt.json", "--json", tmp_path / "score.json")
    (detections,) = (run / "report").glob("*.json")
    assert detections.read_bytes() == (tmp_path / "dt.json").read_bytes()
    score = json.loads((tmp_path / "score.json").read_text())
    assert f"{100 * score['AP']:.1f}" in page.text

    monkeypatch.setattr(kept, "detect_over", None)
    monkeypatch.setattr(kept, "measure", None)
    assert detect_command("report", run, "--out", tmp_path / "again.html")[0] == 0
    again = seen((tmp_path / "again.html").read_text(encoding="utf-8"))
    assert again.text.split("Made by")[0] == page.text.split("Made by")[0]


def test_other_settings_are_other_detections(run: Path, tmp_path: Path, detect_command: Command) -> None:
    for score in ("0.05", "0.5"):
        settings = ("--set", f"model.postprocess.score={score}", "--out", tmp_path / "page.html")
        assert detect_command("report", run, *settings)[0] == 0
    assert len(list((run / "report").glob("*.json"))) == 2


def test_a_damaged_kept_file_is_named(run: Path, detect_command: Command) -> None:
    assert detect_command("report", run)[0] == 0
    (run / "report.html").unlink()
    (overlaps,) = (run / "report").glob("*.npz")
    overlaps.write_bytes(b"nothing")
    status, _, err = detect_command("report", run)
    assert status == 2
    assert f"{overlaps}: expected what an earlier report kept" in err
    assert len(err.splitlines()) == 1
    assert not (run / "report.html").exists()


def altered(run: Path, **train: object) -> None:
    config = load_config(run / "config.yaml")
    changed = Config.model_validate(config.model_dump() | {"train": config.train.model_dump() | train})
    (run / "config.yaml").write_text(to_yaml(changed), encoding="utf-8")
    save_checkpoint(replace(load_checkpoint(run / "best.pt"), config=changed), run / "best.pt")


def test_proposals_alone(run: Path, detect_command: Command) -> None:
    altered(run, parts=("backbone", "proposer"))
    assert detect_command("report", run)[0] == 0
    page = seen((run / "report.html").read_text(encoding="utf-8"))
    assert "proposals" in page.ids()
    assert "numbers" not in page.ids()


def test_a_run_without_weights(run: Path, detect_command: Command) -> None:
    for name in ("best.pt", "last.pt", "metrics.csv", "log.txt", "environment.json"):
        (run / name).unlink()
    assert detect_command("report", run)[0] == 0
    page = seen((run / "report.html").read_text(encoding="utf-8"))
    assert "This run has saved no weights yet." in page.text
    assert not {"numbers", "proposals", "training"} & set(page.ids())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{run}x",), '(did you mean "run"?)'),
        (("{run}/best.pt",), "best.pt: expected a run folder, found a file"),
        (("{run}/..",), "expected a run folder with config.yaml, found none"),
        (("{run}", "--out", "{run}"), "expected a name that ends in .html"),
        (("{run}", "--out", "{run}/config.yaml/a.html"), "expected a folder to write in, found a file"),
        (("{run}", "--set", "data.rot=x"), '(did you mean "root"?)'),
    ],
)
def test_mistakes(arguments: tuple[str, ...], message: str, run: Path, detect_command: Command) -> None:
    before = sorted(run.rglob("*"))
    status, _, err = detect_command("report", *(argument.format(run=run) for argument in arguments))
    assert status == 2
    assert message in err
    assert len(err.splitlines()) == 1
    assert sorted(run.rglob("*")) == before


def test_given_proposals_are_measured_as_they_are_given(
    shapes_root: Path, tmp_path: Path, detect_command: Command
) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    overrides = [f"data.root={shapes_root}", "train.steps=1", "model.kind=fast_rcnn"]
    config = load_config(tmp_path / "tiny.yaml", overrides)
    detect.train(config, tmp_path / "run")
    assert detect_command("report", tmp_path / "run")[0] == 0
    file = read_proposals(tmp_path / "run" / "proposals.npz")
    annotations = split_data(config, "val", load_checkpoint(tmp_path / "run" / "best.pt").classes)
    expected = measure(proposals_of_file(Path("proposals.npz"), file, annotations), COUNTS)
    (kept_file,) = (tmp_path / "run" / "report").glob("*.npz")
    with np.load(kept_file) as found:
        assert found["counts"].tolist() == expected.counts.tolist()
        assert found["every"] == pytest.approx(expected.every)


def test_a_classifier(tmp_path: Path, detect_command: Command) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    config = load_config(tmp_path / "tiny.yaml", [*NETWORK, *CLASSIFIER])
    RunFolder.create(tmp_path / "run", config, ["detect", "pretrain"])
    assert detect_command("report", tmp_path / "run")[0] == 0
    page = seen((tmp_path / "run" / "report.html").read_text(encoding="utf-8"))
    assert "trained a classifier of crops" in page.text
    assert "numbers" not in page.ids()
