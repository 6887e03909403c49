from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

import detect
from detect.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from detect.checkpoints.model_card import ModelCard
from detect.checkpoints.packaged import save_packaged
from detect.cli.pretrain import CLASSIFIER, NETWORK
from detect.config import Config
from detect.config.builders.data import load_split_for_model
from detect.config.files import load_config, to_yaml
from detect.evaluation.proposal_recall import best_ious
from detect.evaluation.proposal_report import PROPOSAL_COUNTS
from detect.inference.rpn_proposals import align_file_proposals
from detect.proposals.files import read_proposals
from detect.report import cache
from detect.system.progress import show_progress
from detect.training.run_folder import RunFolder
from tests.conftest import TINY, Command
from tests.report.example_pages import parse_page
from tests.training.fixtures_training import QUIET


@pytest.fixture(scope="module")
def trained(shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    detect.train(load_config(folder / "tiny.yaml", [f"data.root={shapes_root}", "train.steps=2"]), folder / "run")
    return folder / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_report_is_written_and_the_second_one_uses_the_cache(
    run: Path, tmp_path: Path, detect_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {file.name: file.read_bytes() for file in run.iterdir()}
    status, out, err = detect_command("report", run)
    assert (status, err) == (0, "")
    assert out.startswith(f"{run / 'report.html'}: ")
    page = parse_page((run / "report.html").read_text(encoding="utf-8"))
    assert {"numbers", "gallery", "proposals", "training"} < set(page.ids())
    assert {file.name: file.read_bytes() for file in run.iterdir() if file.name in before} == before
    assert sorted(file.suffix for file in (run / "report").iterdir()) == [".json", ".npz"]
    detect_command("eval", run, "--save", tmp_path / "dt.json", "--json", tmp_path / "score.json")
    (detections,) = (run / "report").glob("*.json")
    assert detections.read_bytes() == (tmp_path / "dt.json").read_bytes()
    score = json.loads((tmp_path / "score.json").read_text())
    assert f"{100 * score['AP']:.1f}" in page.text

    monkeypatch.setattr(cache, "predict_dataset", None)
    monkeypatch.setattr(cache, "best_ious", None)
    assert detect_command("report", run, "--out", tmp_path / "again.html")[0] == 0
    again = parse_page((tmp_path / "again.html").read_text(encoding="utf-8"))
    assert again.text.split("Made by")[0] == page.text.split("Made by")[0]


@pytest.mark.parametrize("changed", ["__version__", "_VERSION", "torch"])
def test_the_detections_of_another_version_are_not_used(
    changed: str, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = detect.load(run)
    annotations = load_split_for_model(predictor.config, "val", predictor.classes)
    with show_progress(QUIET, "detecting", len(annotations), "images") as display:
        cache.cached_detections(predictor, annotations, run, display)
        if changed == "torch":
            monkeypatch.setattr(torch, "__version__", "0.1")
        else:
            monkeypatch.setattr(cache, changed, "another", raising=False)
        for _ in range(2):
            cache.cached_detections(predictor, annotations, run, display)
    assert len(list((run / "report").glob("detections-*.json"))) == 2


@pytest.mark.slow
def test_report_with_other_settings_detects_again(run: Path, tmp_path: Path, detect_command: Command) -> None:
    for score in ("0.05", "0.5"):
        settings = ("--set", f"model.postprocess.score_threshold={score}", "--out", tmp_path / "page.html")
        assert detect_command("report", run, *settings)[0] == 0
    assert len(list((run / "report").glob("*.json"))) == 2


def test_report_with_damaged_cache_names_the_file(run: Path, detect_command: Command) -> None:
    assert detect_command("report", run)[0] == 0
    (run / "report.html").unlink()
    (overlaps,) = (run / "report").glob("*.npz")
    overlaps.write_bytes(b"nothing")
    status, _, err = detect_command("report", run)
    assert status == 2
    assert f"{overlaps}: expected the cache of an earlier report" in err
    assert len(err.splitlines()) == 1
    assert not (run / "report.html").exists()


def write_labelled_at(folder: Path, count: int, size: tuple[int, int]) -> list[str]:
    """Write photos of 80 x 60 pixels with a disc whose labels state ``size`` (w, h); return the settings for them."""
    (folder / "images").mkdir(parents=True)
    for index in range(3):
        cv2.imwrite(str(folder / f"images/{index}.png"), np.full((60, 80, 3), 60 * index, np.uint8))
    sizes = [size if index < count else (80, 60) for index in range(3)]
    box = {"category_id": 1, "bbox": [10, 10, 30, 20], "area": 600, "iscrowd": 0}
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": w, "height": h} for i, (w, h) in enumerate(sizes)],
        "annotations": [{"id": i, "image_id": i, **box} for i in range(3)],
        "categories": [{"id": 1, "name": "disc"}],
    }
    (folder / "labels.json").write_text(json.dumps(content), encoding="utf-8")
    data = {"format": "coco", "root": folder, "train": "labels.json", "val": "labels.json", "images": "images"}
    return [part for key, value in data.items() for part in ("--set", f"data.{key}={value}")]


@pytest.mark.parametrize(("count", "noun"), [(0, ""), (1, "1 image"), (3, "3 images")])
def test_photos_of_another_size_than_labelled_are_said_with_and_without_the_cache(
    count: int, noun: str, run: Path, tmp_path: Path, detect_command: Command
) -> None:
    settings = write_labelled_at(tmp_path / "data", count, (160, 120))
    first = f"{tmp_path / 'data/images/0.png'}: 80 x 60, and 160 x 120 in its labels"
    expected = [f"{noun} of another size than labelled: {first}"] if count else []
    photo = tmp_path / "data/images/1.png"
    for _ in range(2):
        status, out, err = detect_command("report", run, *settings)
        lines = out.splitlines()
        assert (status, err, lines[2:]) == (0, "", expected)
        assert lines[0].startswith("splits: ")
        text = parse_page((run / "report.html").read_text(encoding="utf-8")).text
        assert text.count(f"{noun} of another size than labelled;") == (count > 0)
        assert text.count("80 x 60, and 160 x 120 in its labels") == count
        # The report computes in fp32; predict alone would take bf16 where the processor is quicker in it.
        flags = ("--score", "auto", "--precision", "fp32", "--format", "json", "--out", tmp_path / "out")
        status, out, err = detect_command("predict", run, photo, *flags, *settings)
        assert (status, err) == (0, "")
        assert [line for line in out.splitlines() if "another size" in line] == expected
    assert len(list((run / "report").glob("detections-*.json"))) == 1


def test_score_auto_says_how_many_images_could_not_be_read(run: Path, tmp_path: Path, detect_command: Command) -> None:
    settings = write_labelled_at(tmp_path / "data", 0, (80, 60))
    photo, broken = tmp_path / "data/images/1.png", tmp_path / "data/images/2.png"
    broken.write_bytes(broken.read_bytes()[:40])
    flags = ("--score", "auto", "--format", "json", "--out", tmp_path / "out")
    status, out, err = detect_command("predict", run, photo, *flags, *settings)
    assert (status, err) == (0, "")
    assert f"\n1 image to validate could not be read, the first {broken}: " in out


def change_train_settings(run: Path, **train: object) -> None:
    config = load_config(run / "config.yaml")
    changed = Config.model_validate(config.model_dump() | {"train": config.train.model_dump() | train})
    (run / "config.yaml").write_text(to_yaml(changed), encoding="utf-8")
    save_checkpoint(replace(load_checkpoint(run / "best.pt"), config=changed), run / "best.pt")


def test_report_of_a_run_that_trained_proposals_alone(run: Path, detect_command: Command) -> None:
    change_train_settings(run, trainable=("backbone", "proposer"))
    assert detect_command("report", run)[0] == 0
    page = parse_page((run / "report.html").read_text(encoding="utf-8"))
    assert "proposals" in page.ids()
    assert "numbers" not in page.ids()


def test_report_of_a_run_without_weights(run: Path, detect_command: Command) -> None:
    for name in ("best.pt", "last.pt", "metrics.csv", "log.txt", "environment.json"):
        (run / name).unlink()
    assert detect_command("report", run)[0] == 0
    page = parse_page((run / "report.html").read_text(encoding="utf-8"))
    assert "This run has saved no weights yet." in page.text
    assert not {"numbers", "proposals", "training"} & set(page.ids())


def test_report_of_a_packaged_detector_has_all_but_its_training(
    run: Path, shapes_root: Path, tmp_path: Path, detect_command: Command
) -> None:
    file, out = tmp_path / "tiny.safetensors", tmp_path / "pages" / "tiny.html"
    save_packaged(load_checkpoint(run / "best.pt"), ModelCard(), file)
    status, text, err = detect_command("report", file, "--out", out, "--set", f"data.root={shapes_root}")
    assert (status, err) == (0, "")
    assert text.startswith(f"{out}: ")
    page = parse_page(out.read_text(encoding="utf-8"))
    assert {"numbers", "gallery", "proposals", "run"} < set(page.ids())
    assert "training" not in page.ids()
    assert sorted(file.suffix for file in (out.parent / "report").iterdir()) == [".json", ".npz"]


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
def test_report_wrong_arguments_exit_2(
    arguments: tuple[str, ...], message: str, run: Path, detect_command: Command
) -> None:
    before = sorted(run.rglob("*"))
    status, _, err = detect_command("report", *(argument.format(run=run) for argument in arguments))
    assert status == 2
    assert message in err
    assert len(err.splitlines()) == 1
    assert sorted(run.rglob("*")) == before


@pytest.mark.slow
def test_report_measures_precomputed_proposals(shapes_root: Path, tmp_path: Path, detect_command: Command) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    overrides = [f"data.root={shapes_root}", "train.steps=1", "model.kind=fast_rcnn"]
    config = load_config(tmp_path / "tiny.yaml", overrides)
    detect.train(config, tmp_path / "run")
    assert detect_command("report", tmp_path / "run")[0] == 0
    file = read_proposals(tmp_path / "run" / "proposals.npz")
    annotations = load_split_for_model(config, "val", load_checkpoint(tmp_path / "run" / "best.pt").classes)
    expected = best_ious(align_file_proposals(Path("proposals.npz"), file, annotations), PROPOSAL_COUNTS)
    (cache_file,) = (tmp_path / "run" / "report").glob("*.npz")
    with np.load(cache_file) as found:
        assert found["counts"].tolist() == expected.counts.tolist()
        assert found["every"] == pytest.approx(expected.all_proposals)


def test_report_of_a_classifier(tmp_path: Path, detect_command: Command) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    config = load_config(tmp_path / "tiny.yaml", [*NETWORK, *CLASSIFIER])
    RunFolder.create(tmp_path / "run", config, ["detect", "pretrain"])
    assert detect_command("report", tmp_path / "run")[0] == 0
    page = parse_page((tmp_path / "run" / "report.html").read_text(encoding="utf-8"))
    assert "trained a classifier of crops" in page.text
    assert "numbers" not in page.ids()
