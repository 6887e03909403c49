"""Photos of objects that have a word each, as features and sentences: what the stages train on, without pixels."""

from __future__ import annotations

import numpy as np
import torch

from detect.config.describe import DescribeConfig
from detect.config.describe_files import parse_describe_config
from detect.describe.tokens import Vocabulary
from detect.describe.training_data import TrainingPhoto

COLORS = ("red", "yellow", "green", "cyan", "blue", "pink")
KINDS = ("disc", "ring", "square", "star", "heart", "arrow")
FEATURES = len(COLORS) + len(KINDS) + 2  # one for each word, and two of noise
SETTINGS = {
    "detector": "none",
    "device": "cpu",
    "log_every": 3,
    "checkpoint_every": 4,
    "words": {"min_count": 1, "dim": 16},
    "alignment": {
        "dim": 24,
        "hidden": 16,
        "batch_size": 8,
        "epochs": 2,
        "dropout": 0.1,
        "optimizer": "adam",
        "lr": 0.01,
    },
    "generator": {"dim": 8, "hidden": 16, "batch_size": 16, "epochs": 3, "dropout": 0.1, "lr": 0.01, "max_words": 8},
}


def settings(**changes: object) -> DescribeConfig:
    """Short settings, with whole sections replaced by key."""
    return parse_describe_config(SETTINGS | changes, "test")


def draw_photos(count: int, seed: int = 0) -> tuple[Vocabulary, list[TrainingPhoto], list[list[tuple[int, ...]]]]:
    """A vocabulary, photos of two objects, and for each sentence the row of features that each of its words means.

    Sentences are "a red disc and a blue ring": the two differ in color and kind. The last row, of the whole photo, is
    noise: else words would belong to it, which has all objects.
    """
    rng = np.random.default_rng(seed)
    texts, rows, features = [], [], []
    for _ in range(count):
        objects = list(zip(rng.permutation(6)[:2].tolist(), rng.permutation(6)[:2].tolist(), strict=True))
        table = 0.1 * rng.standard_normal((3, FEATURES))
        for row, (color, kind) in enumerate(objects):
            table[row, [color, 6 + kind]] += 1
        features.append(table.astype(np.float32))
        orders = ((0, 1), (1, 0))
        texts.append([[*phrase(objects[i]), "and", *phrase(objects[j])] for i, j in orders])
        rows.append([tuple([i] * 3 + [2] + [j] * 3) for i, j in orders])
    vocabulary = Vocabulary.from_sentences([("a", "and", *COLORS, *KINDS)], 1)
    photos = [
        TrainingPhoto(
            name=f"photo {n}",
            features=torch.from_numpy(features[n]),
            sentences=tuple(tuple(vocabulary.encode(text)) for text in texts[n]),
        )
        for n in range(count)
    ]
    return vocabulary, photos, rows


def phrase(shape: tuple[int, int]) -> list[str]:
    return ["a", COLORS[shape[0]], KINDS[shape[1]]]
