"""The configuration of a small training, and the comparison of two runs."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from detect.checkpoints.checkpoint import load_checkpoint
from detect.config import Config
from detect.config.files import parse_config
from tests.conftest import TINY

QUIET = Console(quiet=True)


def settings_of(shapes_root: Path, **changes: dict[str, Any]) -> Config:
    settings: dict[str, Any] = copy.deepcopy(TINY)
    settings["data"] |= {"root": str(shapes_root), "train_images": 6, "min_size": 64, "augment": {"flip": 0.5}}
    settings["train"] = {"steps": 2, "batch_size": 2, "lr": 0.01}
    for section, values in changes.items():
        settings[section] = settings[section] | values
    return parse_config(settings, "tiny")


def assert_same_weights(first: Path, second: Path) -> None:
    a, b = (load_checkpoint(folder / "best.pt") for folder in (first, second))
    assert a.metrics == b.metrics
    assert a.weights.keys() == b.weights.keys()
    assert [name for name in a.weights if not torch.equal(a.weights[name], b.weights[name])] == []


class Cut(Exception):  # noqa: N818 - what happens to the run
    pass
