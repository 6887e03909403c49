"""All settings of a run."""

from __future__ import annotations

from typing import Any

from detect.config.data import DataConfig
from detect.config.model import ModelConfig
from detect.config.section import Device, Section
from detect.config.train import TrainConfig


class Config(Section):
    """A whole run."""

    seed: int = 0
    """The root of every random draw."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU when there is one."""
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig(epochs=1)


def as_plain(config: Section) -> dict[str, Any]:
    """The whole configuration as dicts, lists and plain values."""
    return config.model_dump(mode="json")
