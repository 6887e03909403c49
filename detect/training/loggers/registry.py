"""The loggers by the names of ``train.loggers``, each imported when it is named."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from detect.config import Config, to_dict
from detect.system.packages import require_package
from detect.training.context import RunContext
from detect.training.loggers.logger import EndStatus, LoggedRun, Logger, Loggers
from detect.training.loop import Interrupted

_PACKAGES = {"tensorboard": ("tensorboard", ""), "mlflow": ("mlflow", "mlflow-skinny")}  # package, what to install


def require_loggers(config: Config) -> None:
    """Raise UserError if the package of a logger is missing; call it before any work."""
    for name in config.train.loggers:
        package, distribution = _PACKAGES[name]
        require_package(package, f"train.loggers: {name}", distribution)


def make_loggers(names: Sequence[str]) -> list[Logger]:
    """Return a new logger of each name."""
    loggers: list[Logger] = []
    for name in names:
        if name == "tensorboard":
            from detect.training.loggers.tensorboard import TensorBoardLogger

            loggers.append(TensorBoardLogger())
        else:
            from detect.training.loggers.mlflow import MLflowLogger

            loggers.append(MLflowLogger())
    return loggers


@contextmanager
def open_loggers(context: RunContext, steps_done: int) -> Iterator[Loggers]:
    """Start the loggers of a run, those of the settings and those that were given; end them with its status.

    steps_done: steps of an earlier run. On other processes than the main one there are none.
    """
    named = [*make_loggers(context.config.train.loggers), *context.loggers] if context.group.is_main else []
    loggers = Loggers(named, context.log)
    loggers.start(LoggedRun(context.folder.path, _flat(to_dict(context.config)), steps_done))
    for file in (context.folder.config_file, context.folder.environment_file):
        loggers.file(file)
    status: EndStatus = "failed"
    try:
        yield loggers
        status = "finished"
    except (Interrupted, KeyboardInterrupt):
        status = "interrupted"
        raise
    finally:
        for file in (context.folder.metrics, context.folder.log_file):
            loggers.file(file)
        loggers.end(status)


def finite_cells(row: Mapping[str, float | int | None]) -> tuple[int, dict[str, float]]:
    """Return the step of a row of metrics.csv, and its other cells that are neither blank nor infinite nor NaN."""
    cells = {
        name: float(cell) for name, cell in row.items() if name != "step" and cell is not None and math.isfinite(cell)
    }
    return int(row["step"] or 0), cells


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """Return nested settings by their keys: {"train": {"lr": 1}} -> {"train.lr": 1}."""
    flat: dict[str, object] = {}
    for name, setting in settings.items():
        flat |= _flat(setting, f"{prefix}{name}.") if isinstance(setting, dict) else {f"{prefix}{name}": setting}
    return flat
