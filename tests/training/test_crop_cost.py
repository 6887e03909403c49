"""How many crops a training of R-CNN looks at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from detect.checkpoints.checkpoint import load_checkpoint
from detect.config import Config
from detect.config.builders.data import training_data
from detect.config.files import parse_config
from detect.system.device import select_device
from detect.training.context import RunContext
from detect.training.recipes import crop_cost
from detect.training.run import train
from detect.training.run_folder import RunFolder
from tests.training.fixtures_training import QUIET


@pytest.mark.slow
def test_epoch_of_global_sampling_has_as_many_regions_as_images(rcnn: Config, tmp_path: Path) -> None:
    """6 images, 4 regions a step: 2 steps an epoch, whatever the images of a validation's batch are."""
    settings = rcnn.model_dump(mode="json")
    settings["model"]["head"]["batch_size_per_image"] = 4
    settings["train"] |= {"steps": None, "epochs": 3, "batch_size": 1, "validate_every": None}
    train(parse_config(settings, "epochs"), tmp_path / "run", QUIET)
    assert load_checkpoint(tmp_path / "run" / "best.pt").step == 6
    assert "6 steps of 4 regions" in (tmp_path / "run" / "network" / "log.txt").read_text()


@pytest.mark.parametrize(
    ("model", "train_settings", "expected"),
    [
        ({"sampling": "global", "batch_size_per_image": 128}, {"steps": 10, "batch_size": 7}, 1280),
        ({"sampling": "global", "batch_size_per_image": 4}, {"epochs": 3}, 3 * 2 * 4),
        ({"sampling": "per_image", "batch_size_per_image": 5}, {"steps": 10, "batch_size": 3, "accumulate": 2}, 300),
    ],
)
def test_count_training_crops_counts_sampled_regions(
    model: dict[str, Any], train_settings: dict[str, Any], expected: int, rcnn: Config, tmp_path: Path
) -> None:
    settings = rcnn.model_dump(mode="json", exclude={"train"})
    settings["model"]["head"] |= model
    config = parse_config(settings | {"train": train_settings}, "test")
    compute = select_device("cpu", "fp32")
    work = RunContext(config, RunFolder(tmp_path), *training_data(config), None, compute, QUIET)
    assert crop_cost.count_training_crops(work) == expected


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (89, "89 s"), (90, "2 minutes"), (5399, "90 minutes"), (5400, "1.5 hours")]
)
def test_format_duration_chooses_the_unit(seconds: float, text: str) -> None:
    assert crop_cost.format_duration(seconds) == text
