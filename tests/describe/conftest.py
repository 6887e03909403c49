"""A tiny detector with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from detect.checkpoints.checkpoint import Checkpoint, save_checkpoint
from detect.config.builders.detector import build_detector, build_preprocess
from detect.config.describe_files import parse_describe_config
from detect.config.files import parse_config
from detect.data.shapes.sprite import CLASSES
from detect.describe.model import build_describe_model, save_describe_model, with_new_generator
from detect.describe.tokens import Vocabulary
from detect.describe.word_vectors import random_vectors
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


@pytest.fixture(scope="session")
def tiny_describe(tiny_detector: Path, shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a model of words and regions with random weights, on eight shapes to validate."""
    settings = {
        "detector": str(tiny_detector),
        "device": "cpu",
        "data": {"root": str(shapes_root), "seed": 3, "train_images": 2, "val_images": 8},
        "features": {"score": 0.01, "regions": 5},
        "words": {"dim": 8},
        "alignment": {"dim": 12, "hidden": 8},
        "generator": {"dim": 8, "hidden": 8, "beam": 2, "max_words": 5},
    }
    words = [("a", "red", "green", "striped", "small", "disc", "ring", "left", "of", "above")]
    vocabulary = Vocabulary.from_sentences(words, min_count=1)
    config = parse_describe_config(settings, "test")
    model = build_describe_model(config, vocabulary, 16, random_vectors(vocabulary, 8, 0))
    file = tmp_path_factory.mktemp("describe") / "model.pt"
    save_describe_model(with_new_generator(model), file)
    return file
