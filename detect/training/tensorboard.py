"""The rows of metrics.csv as TensorBoard events, in files in the same folder."""

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
    """Raise UserError if the package tensorboard is missing; call it before any work."""
    if importlib.util.find_spec("tensorboard") is None:
        raise UserError("train.tensorboard: expected the package tensorboard, found none; fix: pip install tensorboard")


class TensorBoardWriter:
    """Writes a new event file in ``folder``; a context manager that closes the file.

    steps_done: steps of an earlier run; events that it wrote of later steps are hidden. Losses are under ``train/``,
    metrics of the validation under ``val/``, other columns under their own name.
    """

    def __init__(self, folder: Path, steps_done: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: SummaryWriter = SummaryWriter(str(folder), purge_step=steps_done + 1 if steps_done else None)

    def __enter__(self) -> TensorBoardWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def add(self, row: Mapping[str, float | int | None]) -> None:
        """Add a row of metrics.csv at its ``step``; blank and non-finite cells are skipped."""
        step = int(row["step"] or 0)
        for name, value in row.items():
            if name != "step" and value is not None and math.isfinite(value):
                self._writer.add_scalar(_tag(name), value, step)
        self._writer.flush()


def _tag(name: str) -> str:
    if name.startswith("val_"):
        return f"val/{name.removeprefix('val_')}"
    return name if name in ("epoch", "lr") or name.endswith("_seconds") else f"train/{name}"
