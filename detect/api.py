"""The Python interface: ``detect.load``, ``detect.train``, ``detect.evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from detect.config import Config, Device, Precision
from detect.config.files import load_config
from detect.inference.evaluate_dataset import evaluate
from detect.inference.load import load as load_predictor
from detect.inference.predictor import Predictor
from detect.training.context import TrainingResult
from detect.training.loggers.logger import Logger
from detect.training.run import train as train_run
from detect.training.run_folder import RunFolder

__all__ = ["evaluate", "load", "train"]


def load(
    model: str | Path,
    device: Device = "auto",
    precision: Precision | Literal["auto"] = "auto",
    overrides: Sequence[str] = (),
) -> Predictor:
    """Load a trained detector: a run folder, a checkpoint, a graph, or a name of ``detect model zoo``.

    precision: auto takes bf16 where the device has it natively and this model is quicker in it, else fp32; overrides:
    KEY=VALUE settings, as those of ``detect predict --set``. Raises UserError with the file and the reason.
    """
    return load_predictor(model, device, precision, overrides)


def train(config: Config | str | Path, out: str | Path | None = None, loggers: Sequence[Logger] = ()) -> TrainingResult:
    """Train from a Config or a configuration file, into ``out`` or the next free ``runs/<name>-<n>``.

    loggers: your own, which follow the run beside those of ``train.loggers`` (docs/loggers.md).
    """
    name = "run" if isinstance(config, Config) else Path(config).stem
    settings = config if isinstance(config, Config) else load_config(Path(config))
    folder = RunFolder.next_free(name) if out is None else Path(out)
    return train_run(settings, folder, loggers=loggers)
