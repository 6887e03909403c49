"""Every setting, with a sentence for each: what ``--config`` files and ``--set`` may say."""

from detect.config.base import Device, Precision, Section
from detect.config.config import Config, as_plain
from detect.config.data import DataConfig, SourceConfig
from detect.config.model import ModelConfig
from detect.config.train import TrainConfig

__all__ = [
    "Config",
    "DataConfig",
    "Device",
    "ModelConfig",
    "Precision",
    "Section",
    "SourceConfig",
    "TrainConfig",
    "as_plain",
]
