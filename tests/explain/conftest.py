"""A tiny detector whose class names contain HTML, and an image."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from detect.checkpoints.checkpoint import Checkpoint, save_checkpoint
from detect.config.builders.detector import build_detector, build_preprocess
from detect.config.files import parse_config
from tests.conftest import TINY
from tests.models.test_detector import sharpen

CLASSES = ("<b>cat</b>", "dog")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = parse_config({**TINY, "data": {**TINY["data"], "classes": list(CLASSES)}}, "test")  # type: ignore[dict-item]
    detector, _ = build_detector(config, CLASSES)
    file = tmp_path_factory.mktemp("model") / "tiny.pt"
    weights = sharpen(detector).state_dict()
    save_checkpoint(Checkpoint(config, CLASSES, build_preprocess(config), weights, 0, {}), file)
    return file


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "a photo.png"
    pixels = torch.randint(0, 256, (90, 120, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    Image.fromarray(pixels.numpy()).save(file)
    return file
