"""``train.precision``: auto is resolved when a run starts, into its settings; a resume reads those."""

from __future__ import annotations

from detect.config import Config, Precision
from detect.errors import UserError
from detect.inference.auto_precision import choose_training_precision
from detect.models.detector import Detector
from detect.system.device import ComputeConfig, select_device
from detect.system.distributed import ProcessGroup


def compute_config(config: Config) -> ComputeConfig:
    """Return the device of the settings, and the type in which the networks compute: float32 before auto is resolved.

    Raises UserError where the device or its type is not available.
    """
    return select_device(config.device, "fp32" if config.train.precision == "auto" else config.train.precision)


def resolve_precision(config: Config, detector: Detector, group: ProcessGroup) -> tuple[Config, tuple[str, ...]]:
    """Return the settings with the precision that auto stands for, and a line for the log; without auto, as they are.

    The main process measures the initial detector; all processes take what it chooses.
    """
    if config.train.precision != "auto":
        return config, ()
    device = compute_config(config).device
    choice = group.gather(choose_training_precision(detector, device) if group.is_main else None)[0]
    assert choice is not None
    train = config.train.model_copy(update={"precision": choice.precision})
    return config.model_copy(update={"train": train}), (f"train.precision: {choice.precision} ({choice.reason})",)


def resolved_precision(config: Config, label: str) -> Precision:
    """Return the precision of settings in which auto is resolved. Raises UserError, which names ``label``, for auto."""
    if config.train.precision == "auto":
        raise UserError(f"train.precision: expected fp32, bf16 or fp16 in {label}, found auto")
    return config.train.precision
