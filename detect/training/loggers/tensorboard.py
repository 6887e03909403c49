"""The rows of metrics.csv as TensorBoard events, in files in the run folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from detect.data.images import read_image
from detect.training.loggers.logger import EndStatus, LoggedRun

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoardLogger:
    """Writes a new event file in the run folder.

    Events of an earlier run of later steps than it resumes at are hidden. Losses are under ``train/``, metrics of the
    validation under ``val/``, other columns under their own name; pictures and settings are there too.
    """

    name = "tensorboard"

    def start(self, run: LoggedRun) -> None:
        """Open the event file."""
        from torch.utils.tensorboard import SummaryWriter

        purge_step = run.steps_done + 1 if run.steps_done else None
        self._writer: SummaryWriter = SummaryWriter(str(run.folder), purge_step=purge_step)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add the cells of a row, each under its tag."""
        for column, value in values.items():
            self._writer.add_scalar(_tag(column), value, step)
        self._writer.flush()

    def picture(self, step: int, file: Path) -> None:
        """Add a picture under the name of its file."""
        self._writer.add_image(file.stem, read_image(file), step, dataformats="HWC")

    def file(self, file: Path) -> None:
        """Add the settings as text; other files lie in the same folder."""
        if file.suffix == ".yaml":
            indented = file.read_text(encoding="utf-8").replace("\n", "\n    ")
            self._writer.add_text(file.name, f"    {indented}")

    def end(self, status: EndStatus) -> None:  # noqa: ARG002
        """Close the event file."""
        self._writer.close()


def _tag(column: str) -> str:
    if column.startswith("val_"):
        return f"val/{column.removeprefix('val_')}"
    return column if column in ("epoch", "lr") or column.endswith("_seconds") else f"train/{column}"
