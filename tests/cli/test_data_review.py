"""``detect data inspect --model``: the labels that a detector disagrees with, as lines, JSON and a page."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from detect.checkpoints.checkpoint import load_checkpoint
from detect.checkpoints.model_card import ModelCard
from detect.checkpoints.packaged import save_packaged
from detect.checkpoints.zoo import shipped_files
from detect.data.shapes import dataset as shapes
from detect.errors import UserError
from detect.training import folds as folds_module
from detect.training.folds import Folds
from detect.training.initial_model import build_initial_detector
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


@pytest.mark.parametrize("options", [(), pytest.param(("--folds", 2), marks=pytest.mark.slow)], ids=["model", "folds"])
def test_labels_of_a_photo_that_cannot_be_decoded_are_not_judged(
    options: tuple[object, ...], data: Path, run_folder: Path, tmp_path: Path, detect_command: Command
) -> None:
    folder, findings = shutil.copytree(data, tmp_path / "data"), tmp_path / "findings.json"
    photo = sorted((folder / "train").iterdir())[0]
    photo.write_bytes(photo.read_bytes()[: photo.stat().st_size // 2])
    labels = json.loads((folder / "train.json").read_text())
    (record,) = [image for image in labels["images"] if image["file_name"] == photo.name]
    objects = [annotation for annotation in labels["annotations"] if annotation["image_id"] == record["id"]]
    x, *others = objects[0]["bbox"]
    double = objects[0] | {"id": 1000, "bbox": [x + 0.5, *others]}  # suspicious without any detection
    (folder / "train.json").write_text(json.dumps(labels | {"annotations": [*labels["annotations"], double]}))
    folds_out = ("--folds-out", tmp_path / "folds") if options else ()
    arguments = ["--model", run_folder, *options, *folds_out, "--json", findings]
    _, out, _ = detect_command("data", "inspect", folder, *arguments)
    assert f"note: not judged, as the model cannot read the photo: {len(objects) + 1} labels of 1 image\n" in out
    assert str(photo) not in [row["image"] for row in json.loads(findings.read_text())["suspects"]]


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
    ("model", "init", "line"),
    [
        ("detect/voc_faster_rcnn", "detect/voc_faster_rcnn", "each begins from detect/voc_faster_rcnn, a published"),
        ("mine.safetensors", "detect/voc_faster_rcnn", "each begins from detect/voc_faster_rcnn, a published"),
        ("small.safetensors", None, "each begins from random weights"),
        ("run", None, "each begins from random weights"),
    ],
)
def test_folds_of_a_packaged_detector_begin_from_weights(
    model: str,
    init: str | None,
    line: str,
    data: Path,
    run_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    detect_command: Command,
) -> None:
    shutil.copy(shipped_files()["detect/voc_faster_rcnn"], tmp_path / "mine.safetensors")
    save_packaged(load_checkpoint(run_folder / "best.pt"), ModelCard(), tmp_path / "small.safetensors")
    shutil.copytree(run_folder, tmp_path / "run")
    made: list[Folds] = []

    def stop(folds: Folds) -> list[Path]:
        made.append(folds)
        raise UserError("enough seen")

    monkeypatch.setattr(folds_module, "train_folds", stop)
    monkeypatch.chdir(tmp_path)
    status, out, err = detect_command("data", "inspect", data, "--model", model, "--folds", 2)
    assert (status, err) == (2, "detect: enough seen\n")
    assert line in next(text for text in out.splitlines() if text.startswith("folds: "))
    assert [config.model.init for config in made[0].configs] == [init, init]
    begun = build_initial_detector(made[0].configs[0], made[0].annotations.classes)
    assert any(f"{init}: backbone: loaded" in text for text in begun.lines) == (init is not None)


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
