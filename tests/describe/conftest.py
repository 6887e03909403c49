"""A tiny detector with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from detect.checkpoints.checkpoint import Checkpoint, save_checkpoint
from detect.config.builders.detector import build_detector, build_preprocess
from detect.config.files import parse_config
from detect.data.shapes.sprite import CLASSES
from tests.conftest import TINY
from tests.models.test_detector import sharpen


@pytest.fixture(scope="session")
def tiny_detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a detector of the shapes, whose head makes vectors of 16 numbers."""
    config = parse_config({**TINY, "data": {**TINY["data"], "classes": list(CLASSES)}}, "test")  # type: ignore[dict-item]
    detector, _ = build_detector(config, CLASSES)
    file = tmp_path_factory.mktemp("detector") / "tiny.pt"
    save_checkpoint(Checkpoint(config, CLASSES, build_preprocess(config), sharpen(detector).state_dict(), 0, {}), file)
    return file
