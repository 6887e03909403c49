"""``detect data inspect --model``: the labels that a detector disagrees with, as lines, JSON and a page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from detect.data.shapes import dataset as shapes
from detect.training.run import train
from tests.conftest import Command
from tests.data.folders import write_image
from tests.training.fixtures_training import QUIET, settings_of


@pytest.fixture(scope="module")
def run_folder(shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny detector: after two steps it agrees with nothing, which is enough to have suspects."""
    folder = tmp_path_factory.mktemp("review") / "run"
    train(settings_of(shapes_root), folder, QUIET)
    return folder


@pytest.fixture(scope="module")
def data(shapes_root: Path) -> Path:
    config = settings_of(shapes_root).data
    return shapes.prepare_shapes(shapes_root, config.seed, config.train_images, config.val_images)


def test_inspect_without_a_model_has_no_suspects(data: Path, tmp_path: Path, detect_command: Command) -> None:
    detect_command("data", "inspect", data, "--json", tmp_path / "findings.json")
    assert "suspects" not in json.loads((tmp_path / "findings.json").read_text())


def test_inspect_with_a_model_ranks_labels(
    data: Path, run_folder: Path, tmp_path: Path, detect_command: Command
) -> None:
    plain = detect_command("data", "inspect", data)
    findings, page = tmp_path / "findings.json", tmp_path / "labels.html"
    status, out, err = detect_command(
        "data", "inspect", data, "--model", run_folder, "--json", findings, "--gallery", page
    )
    assert (status, err) == (plain[0], plain[2])
    rows = json.loads(findings.read_text())["suspects"]
    assert f"disagrees with: {len(rows)} (" in out
    assert [row["suspicion"] for row in rows] == sorted((row["suspicion"] for row in rows), reverse=True)
    assert all(Path(row["image"]).is_file() and Path(row["label_file"]).is_file() for row in rows)
    assert all((row["where"] == "") == (row["labeled"] is None) for row in rows)
    assert "the model was trained on 6 of 10 images" in out
    html = page.read_text()
    assert "<script" not in html
    assert len(re.findall("<li>", html)) == min(len(rows), 200)


@pytest.mark.slow
def test_inspect_with_folds_trains_detectors_that_judge(
    data: Path, run_folder: Path, tmp_path: Path, detect_command: Command
) -> None:
    options = ["--model", run_folder, "--folds", 2, "--folds-out", tmp_path / "folds", "--json", tmp_path / "f.json"]
    _, out, _ = detect_command("data", "inspect", data, *options)
    assert f"folds: 2 detectors, each trained on 5 of 10 images: 4 steps in all, into {tmp_path / 'folds'};" in out
    assert "the model was trained on" not in out
    rows = json.loads((tmp_path / "f.json").read_text())["suspects"]
    assert f"disagrees with: {len(rows)} (" in out
    _, again, _ = detect_command("data", "inspect", data, *options)
    assert json.loads((tmp_path / "f.json").read_text())["suspects"] == rows
    assert "validation" not in again


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            ["--gallery", "labels.html"],
            "--gallery labels.html: expected a name that ends in .html, together with --model",
        ),
        (["--model", "RUN", "--gallery", "labels.png"], "--gallery labels.png: expected a name that ends in .html"),
        (["--model", "no/such/run"], "no/such/run: expected"),
        (["--folds", "3"], "--folds: expected --model MODEL together with it"),
        (["--model", "RUN", "--folds-out", "out"], "--folds: expected --model MODEL together with it"),
        (["--model", "RUN", "--folds", "1"], "Invalid value for '--folds'"),
    ],
)
def test_mistakes_are_one_line(
    options: list[str], expected: str, data: Path, run_folder: Path, detect_command: Command
) -> None:
    arguments = [str(run_folder) if option == "RUN" else option for option in options]
    status, out, err = detect_command("data", "inspect", data, *arguments)
    assert (status, out) == (2, "")
    assert expected in err
    assert len(err.splitlines()) == 1


def test_a_model_of_other_classes_is_refused(run_folder: Path, tmp_path: Path, detect_command: Command) -> None:
    write_image(tmp_path / "a.jpg")
    (tmp_path / "boxes.csv").write_text("a.jpg,zebra,1,2,30,20\n")
    status, _, err = detect_command("data", "inspect", tmp_path, "--model", run_folder)
    assert status == 2
    assert "expected a model of a class of the data (zebra)" in err
