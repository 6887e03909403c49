"""What ``detect predict``, ``detect data rank`` and their options say, on a detector with random weights."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detect.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from detect.config.builders.detector import build_detector, build_preprocess
from detect.config.files import parse_config
from detect.data.shapes.dataset import CLASSES
from tests.conftest import TINY, Command
from tests.models.test_detector import sharpen


@pytest.fixture(scope="module")
def model(shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = {**TINY, "data": {**TINY["data"], "root": str(shapes_root)}}  # type: ignore[dict-item]
    return save_random(settings, tmp_path_factory.mktemp("model") / "tiny.pt")


def save_random(settings: dict[str, Any], file: Path) -> Path:
    """Save a detector of these settings with random weights."""
    config = parse_config(settings, "test")
    detector, _ = build_detector(config, CLASSES)
    checkpoint = Checkpoint(config, CLASSES, build_preprocess(config), sharpen(detector).state_dict(), 0, {})
    save_checkpoint(checkpoint, file)
    return file


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for index in range(2):
        pixels = np.random.default_rng(index).integers(0, 256, (90, 120, 3), np.uint8)
        (tmp_path / "set/photos").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / f"set/photos/{index}.png"), pixels)
    return tmp_path / "set/photos"


def test_each_format_has_its_score_and_a_line_says_so(
    model: Path, photos: Path, tmp_path: Path, detect_command: Command
) -> None:
    flags = ("--format", "coco", "--format", "json")
    status, out, err = detect_command("predict", model, photos, "--out", tmp_path / "out", *flags)
    assert (status, err) == (0, "")
    first, second, *_, summary = out.splitlines()
    assert first.startswith(
        "coco: the images are numbered from 1, in coco_images.json; ids of a data set: --annotations"
    )
    assert second.startswith("lowest score: 0.05 in coco, 0.5 in json")
    rows = json.loads((tmp_path / "out/coco_results.json").read_text())
    shown = [
        row for image in json.loads((tmp_path / "out/predictions.json").read_text()) for row in image["detections"]
    ]
    assert min(row["score"] for row in rows) < 0.5
    assert all(row["score"] >= 0.5 for row in shown)
    assert summary.startswith(f"{len(shown)} detection")
    assert f"and {len(rows) - len(shown)} below in 2 images" in summary


@pytest.mark.parametrize(
    ("flags", "is_said"),
    [
        ((), False),
        (("--score", 0.3), False),
        (("--score", 0.1), True),
        (("--score", 0.1, "--set", "model.postprocess.score_threshold=0.1"), False),
        (("--score", "auto"), False),
        (("--format", "coco"), True),  # whose score without --score is 0.05
        (("--score", 0.1, "--fps", 1), True),
        (("--score", 0.3, "--fps", 1), False),
    ],
)
def test_a_score_that_the_model_drops_is_said_with_the_setting_that_keeps_it(
    flags: tuple[object, ...], is_said: bool, model: Path, photos: Path, tmp_path: Path, detect_command: Command
) -> None:
    def size() -> int:
        return sum(file.stat().st_size for file in (tmp_path / "out").rglob("*") if file.is_file())

    flags = ("--out", tmp_path / "out", "--format", "csv", "--set", "model.postprocess.score_threshold=0.3", *flags)
    status, out, err = detect_command("predict", model, photos, *flags)
    assert (status, err) == (0, "")
    lines = [line for line in out.splitlines() if "the model drops detections that score less than 0.3" in line]
    assert len(lines) == is_said
    if is_said:
        before, setting = size(), lines[0].partition("--set ")[2].split()[0]
        _, out, _ = detect_command("predict", model, photos, *flags, "--set", setting)
        assert "the model drops" not in out
        assert size() > before


def test_coco_has_the_ids_of_the_data_set_of_the_images(
    model: Path, photos: Path, tmp_path: Path, detect_command: Command
) -> None:
    images = [{"id": 70 + index, "file_name": f"{index}.png", "width": 120, "height": 90} for index in range(2)]
    categories = [{"id": 5 + 2 * index, "name": name} for index, name in enumerate(CLASSES)]
    annotation = {"id": 0, "image_id": 70, "category_id": 5, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0}
    truth = {"images": images, "categories": categories, "annotations": [annotation]}
    (photos.parent / "annotations").mkdir()
    (photos.parent / "annotations/val.json").write_text(json.dumps(truth))
    status, out, _ = detect_command("predict", model, photos, "--out", tmp_path / "out", "--format", "coco")
    assert status == 0
    assert out.startswith(
        f"coco: the ids of images and classes are those of {photos.parent / 'annotations/val.json'}\n"
    )
    assert "pycocotools never counts the box with the id 0 as found" in out
    rows = json.loads((tmp_path / "out/coco_results.json").read_text())
    assert {row["image_id"] for row in rows} == {70, 71}
    assert {row["category_id"] for row in rows} <= {category["id"] for category in categories}
    assert not (tmp_path / "out/coco_images.json").exists()


def test_voc_refuses_classes_that_no_file_can_be_named_for_before_detecting(
    model: Path, photos: Path, tmp_path: Path, detect_command: Command
) -> None:
    checkpoint = load_checkpoint(model)
    save_checkpoint(replace(checkpoint, classes=("red/disc", *CLASSES[1:])), tmp_path / "named.pt")
    flags = ("--out", tmp_path / "out", "--format", "json", "--format", "voc")
    status, out, err = detect_command("predict", tmp_path / "named.pt", photos, *flags)
    assert (status, out) == (2, "")
    assert err == "detect: voc: expected class names that a file name can have, found red/disc: write json or coco\n"
    assert not any(file.is_file() for file in (tmp_path / "out").rglob("*"))


def test_formats_without_a_field_for_masks_are_named(photos: Path, tmp_path: Path, detect_command: Command) -> None:
    mask = {"pool_size": 4, "num_convs": 1, "channels": 16}
    settings = {**TINY, "model": {**TINY["model"], "kind": "mask_rcnn", "mask": mask}}  # type: ignore[dict-item]
    model = save_random(settings, tmp_path / "masks.pt")
    flags = [part for name in ("json", "coco", "csv", "yolo") for part in ("--format", name)]
    status, out, err = detect_command("predict", model, photos, "--out", tmp_path / "out", "--score", 0.5, *flags)
    assert (status, err) == (0, "")
    lines = ["csv has no field for masks: not written", "yolo has no field for masks: not written"]
    assert [line for line in out.splitlines() if "no field" in line] == lines


def test_score_auto_is_that_of_best_f1(model: Path, photos: Path, tmp_path: Path, detect_command: Command) -> None:
    arguments = ("predict", model, photos, "--out", tmp_path / "out", "--score", "auto", "--format", "json")
    status, out, err = detect_command(*arguments)
    assert (status, err) == (0, "")
    (line,) = [line for line in out.splitlines() if line.startswith("score: best F1 on 4 images to validate: disc ")]
    texts = line.removesuffix(line[line.find(";") :] if ";" in line else "").partition("validate: ")[2].split(", ")
    lowest = {text.split()[0]: float(text.split()[1]) for text in texts}
    assert set(lowest) == set(CLASSES)
    for image in json.loads((tmp_path / "out/predictions.json").read_text()):
        assert all(row["score"] >= lowest[row["label"]] - 0.005 for row in image["detections"])
    assert detect_command(*arguments[:-3], "high")[0] == 2


def test_rank_writes_the_most_doubtful_first(
    model: Path, photos: Path, tmp_path: Path, detect_command: Command
) -> None:
    (photos / "copy.png").write_bytes((photos / "0.png").read_bytes())
    (photos / "broken.jpg").write_text("text")
    status, out, err = detect_command("data", "rank", model, photos, "--out", tmp_path / "ranked.csv")
    assert (status, "broken.jpg" in err, "1 of 4 images" in err) == (1, True, True)
    assert "3 of 3 photos; 1 show nearly the same as another" in out
    rows = list(csv.DictReader((tmp_path / "ranked.csv").read_text().splitlines()))
    gains = [float(row["gain"]) for row in rows]
    assert gains[0] >= gains[1] > 0
    assert {Path(rows[2]["file"]).name, Path(rows[2]["near_duplicate_of"]).name} == {"0.png", "copy.png"}
