"""A data set trains to the same losses, to the last bit, whatever format it is in."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from rich.console import Console

from detect.checkpoints.checkpoint import load_checkpoint
from detect.config.files import parse_config
from detect.data.convert.convert import plan_conversion, run_conversion
from detect.data.convert.convertible_dataset import read_convertible_dataset
from detect.data.formats.detect_format import WritableFormat
from detect.data.shapes import dataset as shapes
from detect.system.progress import show_progress
from detect.training.run import train
from tests.conftest import TINY


@pytest.fixture(scope="module")
def voc(shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve drawn pictures in VOC's layout, the start of each way to the other formats: classes in sorted order."""
    return converted(
        shapes.prepare_shapes(shapes_root, 0, 12, 4), "coco", "voc", tmp_path_factory.mktemp("voc") / "new"
    )


def converted(root: Path, source: WritableFormat, target: WritableFormat, folder: Path) -> Path:
    images = None
    if source == "coco":  # the built-in data has a folder of images for each split
        (folder.parent / "train.json").write_bytes((root / "train.json").read_bytes())
        root, images = folder.parent, root / "train"
    with show_progress(Console(quiet=True), "converting", 12, "images") as progress:
        run_conversion(plan_conversion(read_convertible_dataset(root, source, images), target, folder), True, progress)
    return folder


def trained(format: str, root: Path, out: Path) -> tuple[list[list[str]], dict[str, torch.Tensor]]:  # noqa: A002
    """The losses of each step as metrics.csv has them, and the weights, which every bit of every loss has moved."""
    data = TINY["data"] | {"format": format, "root": str(root), "train": "train", "val": 0.0}  # type: ignore[operator]
    settings = TINY["train"] | {"steps": 3, "log_every": 1, "validate_every": None}  # type: ignore[operator]
    train(parse_config(TINY | {"data": data, "train": settings}, "test"), out, Console(quiet=True))
    with (out / "metrics.csv").open() as stream:
        rows = [[row["loss"], row["rpn_box"], row["region_class"], row["region_box"]] for row in csv.DictReader(stream)]
    return rows, load_checkpoint(out / "last.pt").weights


@pytest.mark.slow
def test_training_losses_are_equal_for_every_format(voc: Path, tmp_path: Path) -> None:
    expected, weights = trained("voc", voc, tmp_path / "voc")
    assert len({row[0] for row in expected}) == 3
    for target in ("coco", "yolo", "csv"):
        root = converted(voc, "voc", target, tmp_path / target)
        losses, same = trained(target, root, tmp_path / f"run-{target}")
        assert losses == expected, target
        assert [name for name in weights if not torch.equal(weights[name], same[name])] == [], target
