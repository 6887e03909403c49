"""The configurations of configs/coco and configs/voc0712 are those of the detectors that we import."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from detect.checkpoints import detectron2_configs as detectron2_layouts
from detect.checkpoints import torchvision_configs as layouts
from detect.checkpoints.detectron2_configs import Layout
from detect.config import Config, ModelConfig
from detect.config.files import load_config, shipped_folder
from detect.training.setup import schedule_rule

FILES = [file for folder in ("coco", "voc0712") for file in sorted((shipped_folder() / folder).glob("*.yaml"))]
THEIRS = {
    "faster_rcnn_r50_c4": Layout("faster_rcnn", 50, "C4"),
    "faster_rcnn_r50_dc5": Layout("faster_rcnn", 50, "DC5"),
    "faster_rcnn_r50_fpn": Layout("faster_rcnn", 50, "FPN"),
    "faster_rcnn_r101_fpn": Layout("faster_rcnn", 101, "FPN"),
}


def published(name: str) -> Config:
    """The settings that an imported detector has."""
    if name == "faster_rcnn_r50_fpn_torchvision":
        return layouts.layout_config("fasterrcnn_resnet50_fpn")
    return detectron2_layouts.layout_config(THEIRS[name])


def unstarted(model: ModelConfig) -> ModelConfig:
    """Without where its weights begin, and without what only a search uses."""
    backbone = model.backbone.model_copy(update={"weights": None})
    return model.model_copy(update={"backbone": backbone, "search": ModelConfig().search})


def test_there_are_four_for_each_data_set_and_torchvisions() -> None:
    names = sorted([*THEIRS, *THEIRS, "faster_rcnn_r50_fpn_torchvision"])
    assert sorted(file.stem for file in FILES) == names


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_the_model_is_the_published_one(file: Path) -> None:
    config, theirs = load_config(file), published(file.stem)
    assert unstarted(config.model) == unstarted(theirs.model)
    assert (config.data.min_sizes[-1], config.data.max_size, config.data.divisor) == (
        theirs.data.min_sizes[-1],
        theirs.data.max_size,
        theirs.data.divisor,
    )


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_header_has_its_command_and_what_to_expect(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert f"#   detect train --config configs/{file.parent.name}/{file.name} " in text
    assert re.search(r"^# Expected: (AP |AP50 |no published number)", text, re.MULTILINE)
    assert "\n# Measured: not yet.\n" in text


@pytest.mark.parametrize(
    ("name", "overrides", "steps", "falls", "warm"),
    [
        ("coco/faster_rcnn_r50_fpn", [], 90000, [60000, 80000], 1000),
        ("coco/faster_rcnn_r101_fpn", [], 270000, [210000, 250000], 1000),
        ("coco/faster_rcnn_r50_fpn", ["3x"], 270000, [210000, 250000], 1000),
        ("coco/faster_rcnn_r50_c4", ["3x"], 270000, [210000, 250000], 1000),
        ("coco/faster_rcnn_r50_dc5", ["3x"], 270000, [210000, 250000], 1000),
        ("voc0712/faster_rcnn_r50_c4", [], 18000, [12000, 16000], 100),
        ("voc0712/faster_rcnn_r101_fpn", [], 18000, [12000, 16000], 100),
        ("coco/faster_rcnn_r50_fpn_torchvision", [], 26 * 7329, [16 * 7329, 22 * 7329], 1000),  # 117,264 images
    ],
)
def test_the_schedule_is_the_published_one(
    name: str, overrides: list[str], steps: int, falls: list[int], warm: int
) -> None:
    file = shipped_folder() / f"{name}.yaml"
    if overrides:
        (line,) = [line for line in file.read_text(encoding="utf-8").splitlines() if "train.steps=270000" in line]
        overrides = re.findall(r"--set (\S+)", line)
    config = load_config(file, overrides)
    assert (config.train.lr, config.train.batch_size, config.train.weight_decay) == (0.02, 16, 1e-4)
    assert config.train.steps == (None if "torchvision" in name else steps)
    schedule = schedule_rule(config, steps)
    assert schedule.factor(warm // 2) == pytest.approx(0.5, abs=0.002)
    assert schedule.factor(warm - 1) < 1.0
    assert schedule.factor(warm) == 1.0
    for fallen, step in enumerate(falls, start=1):
        assert schedule.factor(step - 1) == pytest.approx(0.1 ** (fallen - 1))
        assert schedule.factor(step) == pytest.approx(0.1**fallen)
