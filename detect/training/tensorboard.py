"""metrics.csv's rows for TensorBoard too, in event files beside it."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from detect.errors import UserError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def require_tensorboard() -> None:
    """UserError where the package is missing: to be asked before any work."""
    if importlib.util.find_spec("tensorboard") is None:
        raise UserError(
            "train.tensorboard: expected the package tensorboard, found none; cure: pip install tensorboard"
        )


class Events:
    """A new event file in ``folder``. ``done``: steps of an earlier run; what that wrote of later ones is hidden.

    Losses are under ``train/``, numbers of the validation under ``val/``, the rest by its name. Use it in a ``with``.
    """

    def __init__(self, folder: Path, done: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: SummaryWriter = SummaryWriter(str(folder), purge_step=done + 1 if done else None)

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def add(self, row: Mapping[str, float | int | None]) -> None:
        """A row of metrics.csv, at its ``step``; blanks are left out."""
        step = int(row["step"] or 0)
        for name, value in row.items():
            if name != "step" and value is not None and math.isfinite(value):
                self._writer.add_scalar(_tag(name), value, step)
        self._writer.flush()


def _tag(name: str) -> str:
    if name.startswith("val_"):
        return f"val/{name.removeprefix('val_')}"
    return name if name in ("epoch", "lr") or name.endswith("_seconds") else f"train/{name}"
