"""A small detector to start from, and a folder of labelled images."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from detect.checkpoints.checkpoint import Checkpoint, save_checkpoint
from detect.config.builders.detector import build_detector, build_preprocess
from detect.config.files import merge_overrides, parse_config
from detect.data.shapes.dataset import prepare_shapes
from tests.conftest import TINY

INITIAL_CLASSES = ("Disc", "cat")


@pytest.fixture(scope="session")
def initial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a detector with random weights, of which one class is also in the folder."""
    config = parse_config(merge_overrides(dict[str, Any](TINY), ["data.min_size=96"]), "test")
    detector, _ = build_detector(config, INITIAL_CLASSES)
    file = tmp_path_factory.mktemp("initial") / "initial.pt"
    weights = detector.state_dict()
    save_checkpoint(Checkpoint(config, INITIAL_CLASSES, build_preprocess(config), weights, 1, {}), file)
    return file


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO folder of 12 images to train on and 4 to validate."""
    rendered = prepare_shapes(tmp_path_factory.mktemp("rendered"), 3, 12, 4)
    folder = tmp_path_factory.mktemp("photos") / "my photos"
    shutil.copytree(rendered, folder)
    return folder
