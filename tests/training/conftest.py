"""Proposals and the R-CNN configuration that several test files train with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from detect.config import Config
from detect.config.builders.data import training_data
from tests.training.fixtures_training import settings_of


@pytest.fixture(scope="session")
def proposals(shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with boxes around the objects of every image, and random ones."""
    rng = np.random.default_rng(0)
    entries = []
    for images in training_data(settings_of(shapes_root)):
        for image in (images[index] for index in range(len(images))):
            height, width = image.size
            anywhere = np.sort(rng.uniform(0, 1, (15, 2, 2)), axis=1) * [width, height]
            near = np.repeat(image.boxes, 4, axis=0) + rng.uniform(-3, 3, (4 * len(image.boxes), 4))
            boxes = np.concatenate([anywhere.reshape(-1, 4), near.clip(0, [width, height, width, height])])
            entries.append({"file": image.file, "boxes": boxes.tolist()})
    file = tmp_path_factory.mktemp("proposals") / "random.json"
    file.write_text(json.dumps(entries))
    return file


@pytest.fixture(scope="session")
def rcnn(shapes_root: Path, proposals: Path) -> Config:
    head = {"type": "fc", "fc_dim": 16, "pool_size": 3}
    model = {"kind": "rcnn", "proposals": str(proposals), "crop": {"size": 24, "context": 3}, "head": head}
    return settings_of(shapes_root, model=model)
