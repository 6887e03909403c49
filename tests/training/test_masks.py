"""A detector with masks is trained, saved, loaded, scored and used as any other; data without masks are refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

import detect
from detect.checkpoints.checkpoint import load_checkpoint
from detect.config.builders.data import training_data
from detect.config.builders.detector import build_uninitialized
from detect.data.shapes.dataset import draw_scene
from detect.draw import save_image
from detect.errors import UserError
from detect.inference.evaluate_dataset import evaluate
from detect.training.run import train
from tests.conftest import Command
from tests.training.fixtures_training import QUIET, settings_of

MASK = {"kind": "mask_rcnn", "mask": {"pool_size": 4, "num_convs": 1, "channels": 16}}
STEPS = {"steps": 2, "batch_size": 2, "log_every": 1, "ema_decay": 0.9}


def test_mask_rcnn_trains_to_a_checkpoint_with_masks(shapes_root: Path, tmp_path: Path) -> None:
    train(settings_of(shapes_root, model=MASK, train=STEPS), tmp_path / "run", QUIET)
    with (tmp_path / "run" / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert "region_mask" in rows[0]
    best = load_checkpoint(tmp_path / "run" / "best.pt")
    detector = build_uninitialized(best.config, best.classes)
    initial = {name: value.clone() for name, value in detector.state_dict().items()}
    detector.load_state_dict(best.weights)
    changed = {name for name, value in best.weights.items() if not torch.equal(value, initial[name])}
    assert {name for name in initial if name.startswith("mask_head.")} <= changed
    predictor = detect.load(tmp_path / "run")
    detections = predictor.predict(draw_scene(0, "val", 0).rgb, 0.0)
    assert detections.masks is not None
    assert detections.masks.shape == (len(detections), 8, 8)
    assert len(detections) > 0


def test_mask_head_trained_alone_leaves_all_else_of_the_initial_model(shapes_root: Path, tmp_path: Path) -> None:
    train(settings_of(shapes_root, train=STEPS), tmp_path / "boxes", QUIET)
    first = tmp_path / "boxes" / "last.pt"
    config = settings_of(shapes_root, model=MASK | {"init": str(first)}, train=STEPS | {"trainable": ["mask"]})
    train(config, tmp_path / "masks", QUIET)
    before, after = (load_checkpoint(tmp_path / name / "last.pt").weights for name in ("boxes", "masks"))
    added = {name for name in after if name not in before}
    assert added
    assert all(name.startswith("mask_head.") for name in added)
    assert [name for name, value in before.items() if not torch.equal(value, after[name])] == []
    image = draw_scene(0, "val", 0).rgb
    boxes, masks = (detect.load(tmp_path / name).predict(image, 0.0) for name in ("boxes", "masks"))
    assert len(boxes) > 0
    for name in ("boxes", "scores", "labels"):
        assert torch.equal(torch.as_tensor(getattr(boxes, name)), torch.as_tensor(getattr(masks, name)))


def test_masks_are_scored_on_the_data_of_the_model_and_written(
    shapes_root: Path, tmp_path: Path, detect_command: Command
) -> None:
    """The weights are those of two steps, so that no score is expected; all tools take the masks along."""
    run, out = tmp_path / "run", tmp_path / "found"
    model = MASK | {"test_time": {"flip": True}}
    train(settings_of(shapes_root, model=model, train=STEPS | {"validate_every": None}), run, QUIET)
    predictor = detect.load(run)
    score = evaluate(predictor)
    assert score.segm is not None
    image = tmp_path / "scene.png"
    save_image(image, draw_scene(0, "val", 1).rgb)
    options = ("--out", out, "--format", "json", "--score", "0")
    assert detect_command("predict", run, image, *options)[0] == 0
    (entry,) = json.loads((out / "predictions.json").read_text(encoding="utf-8"))
    assert len(entry["detections"]) > 0
    assert all(detection["mask"]["size"] == [entry["height"], entry["width"]] for detection in entry["detections"])


def test_objects_without_masks_are_refused_by_name_and_count(shapes_root: Path, tmp_path: Path) -> None:
    config = settings_of(shapes_root, model=MASK, train=STEPS)
    training_data(config)  # renders the data set
    folder = next(path.parent for path in shapes_root.rglob("train.json"))
    document = json.loads((folder / "train.json").read_text(encoding="utf-8"))
    for annotation in document["annotations"][:3]:
        del annotation["segmentation"]
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps(document), encoding="utf-8")
    data = {
        "format": "coco",
        "root": str(folder),
        "train": [{"root": str(folder), "annotations": str(boxes), "images": str(folder / "train")}],
        "val": [{"root": str(folder), "annotations": "val.json", "images": "val"}],
    }
    with pytest.raises(UserError, match=r"expected a mask of each object, found none for 3 of \d+ objects"):
        training_data(settings_of(shapes_root, model=MASK, train=STEPS, data=data))
    assert len(training_data(settings_of(shapes_root, train=STEPS, data=data))[0]) > 0
