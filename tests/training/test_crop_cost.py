"""How many crops a training of R-CNN looks at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from detect.checkpoints.checkpoint import load_checkpoint
from detect.config import Config
from detect.config.builders.data import training_data
from detect.config.files import parse
from detect.system.device import make_compute
from detect.training.context import Work
from detect.training.recipes import crop_cost as crop_work
from detect.training.run import train
from detect.training.run_folder import RunFolder
from tests.training.world import QUIET


def test_an_epoch_of_uniform_sampling_is_as_many_regions_as_images(rcnn: Config, tmp_path: Path) -> None:
    """6 images, 4 regions a step: 2 steps an epoch, whatever the images of a validation's batch are."""
    settings = rcnn.model_dump(mode="json")
    settings["model"]["head"]["number"] = 4
    settings["train"] |= {"steps": None, "epochs": 3, "batch_size": 1, "validate_every": None}
    train(parse(settings, "epochs"), tmp_path / "run", QUIET)
    assert load_checkpoint(tmp_path / "run" / "best.pt").step == 6
    assert "6 steps of 4 regions" in (tmp_path / "run" / "network" / "log.txt").read_text()


@pytest.mark.parametrize(
    ("model", "train_settings", "expected"),
    [
        ({"sampling": "uniform", "number": 128}, {"steps": 10, "batch_size": 7}, 1280),
        ({"sampling": "uniform", "number": 4}, {"epochs": 3}, 3 * 2 * 4),
        ({"sampling": "hierarchical", "number": 5}, {"steps": 10, "batch_size": 3, "accumulate": 2}, 300),
    ],
)
def test_crops_of_a_training_are_counted(
    model: dict[str, Any], train_settings: dict[str, Any], expected: int, rcnn: Config, tmp_path: Path
) -> None:
    settings = rcnn.model_dump(mode="json", exclude={"train"})
    settings["model"]["head"] |= model
    config = parse(settings | {"train": train_settings}, "test")
    compute = make_compute("cpu", "fp32")
    work = Work(config, RunFolder(tmp_path), *training_data(config), None, compute, QUIET)
    assert crop_work.trained_crops(work) == expected


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0 s"), (89, "89 s"), (90, "2 minutes"), (5399, "90 minutes"), (5400, "1.5 hours")]
)
def test_times(seconds: float, told: str) -> None:
    assert crop_work.told_time(seconds) == told
