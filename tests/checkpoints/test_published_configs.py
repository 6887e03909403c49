"""The configurations of configs/coco and configs/voc0712 are those of the detectors that we import."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from detect.checkpoints import detectron2_configs, torchvision_configs
from detect.checkpoints.detectron2_configs import Detectron2Layout
from detect.config import Config, ModelConfig
from detect.config.files import builtin_folder, load_config
from detect.training.setup import build_schedule

FILES = [file for folder in ("coco", "voc0712") for file in sorted((builtin_folder() / folder).glob("*.yaml"))]
LAYOUTS = {
    "faster_rcnn_r50_c4": Detectron2Layout("faster_rcnn", 50, "C4"),
    "faster_rcnn_r50_dc5": Detectron2Layout("faster_rcnn", 50, "DC5"),
    "faster_rcnn_r50_fpn": Detectron2Layout("faster_rcnn", 50, "FPN"),
    "faster_rcnn_r101_fpn": Detectron2Layout("faster_rcnn", 101, "FPN"),
}
COCO_LAYOUTS = {
    "cascade_rcnn_r50_fpn": Detectron2Layout("cascade_rcnn", 50, "FPN"),
    "mask_rcnn_r50_fpn": Detectron2Layout("mask_rcnn", 50, "FPN", masks=True),
}


def published_config(name: str) -> Config:
    """Return the settings of the imported detector."""
    if name == "faster_rcnn_r50_fpn_torchvision":
        return torchvision_configs.torchvision_config("fasterrcnn_resnet50_fpn")
    return detectron2_configs.detectron2_config((LAYOUTS | COCO_LAYOUTS)[name])


def without_weights_and_search(model: ModelConfig) -> ModelConfig:
    """Return the settings without the initial weights, and with the default search, which is not used."""
    backbone = model.backbone.model_copy(update={"weights": None})
    return model.model_copy(update={"backbone": backbone, "search": ModelConfig().search})


def test_configs_have_four_layouts_for_each_data_set_and_torchvisions() -> None:
    names = sorted([*LAYOUTS, *LAYOUTS, *COCO_LAYOUTS, "faster_rcnn_r50_fpn_torchvision"])
    assert sorted(file.stem for file in FILES) == names


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_model_settings_are_those_of_the_published_detector(file: Path) -> None:
    config, theirs = load_config(file), published_config(file.stem)
    assert without_weights_and_search(config.model) == without_weights_and_search(theirs.model)
    assert (config.data.min_sizes[-1], config.data.max_size, config.data.size_divisor) == (
        theirs.data.min_sizes[-1],
        theirs.data.max_size,
        theirs.data.size_divisor,
    )


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_header_has_the_command_and_the_expected_result(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert f"#   detect train --config configs/{file.parent.name}/{file.name} " in text
    assert re.search(r"^# Expected: (AP |AP50 |no published number)", text, re.MULTILINE)
    assert "\n# Measured: not yet.\n" in text


@pytest.mark.parametrize(
    ("name", "overrides", "steps", "milestones", "warmup_steps"),
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
def test_schedule_is_the_published_one(
    name: str, overrides: list[str], steps: int, milestones: list[int], warmup_steps: int
) -> None:
    file = builtin_folder() / f"{name}.yaml"
    if overrides:
        (line,) = [line for line in file.read_text(encoding="utf-8").splitlines() if "train.steps=270000" in line]
        overrides = re.findall(r"--set (\S+)", line)
    config = load_config(file, overrides)
    assert (config.train.lr, config.train.batch_size, config.train.weight_decay) == (0.02, 16, 1e-4)
    assert config.train.steps == (None if "torchvision" in name else steps)
    schedule = build_schedule(config, steps)
    assert schedule.factor(warmup_steps // 2) == pytest.approx(0.5, abs=0.002)
    assert schedule.factor(warmup_steps - 1) < 1.0
    assert schedule.factor(warmup_steps) == 1.0
    for num_drops, step in enumerate(milestones, start=1):
        assert schedule.factor(step - 1) == pytest.approx(0.1 ** (num_drops - 1))
        assert schedule.factor(step) == pytest.approx(0.1**num_drops)
