"""Every setting, with a sentence for each: what ``--config`` files and ``--set`` may say."""

from detect.config.data import DataConfig, SourceConfig
from detect.config.model import ModelConfig
from detect.config.section import Device, Precision, Section
from detect.config.train import TrainConfig
from detect.config.whole import Config, as_plain

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
