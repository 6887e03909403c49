"""All settings of ``--config`` files and ``--set``, each with a sentence."""

from detect.config.base import ConfigModel, Device, Precision
from detect.config.config import Config, to_dict
from detect.config.data import DataConfig, SourceConfig
from detect.config.model import ModelConfig
from detect.config.train import TrainConfig

__all__ = [
    "Config",
    "ConfigModel",
    "DataConfig",
    "Device",
    "ModelConfig",
    "Precision",
    "SourceConfig",
    "TrainConfig",
    "to_dict",
]
