"""The log of a run: lines on the screen and in log.txt, rows in metrics.csv and in the loggers of the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console

from detect.system.progress import ProgressDisplay
from detect.training.loggers.logger import Loggers
from detect.training.loggers.registry import finite_cells
from detect.training.run_folder import RunFolder

Row = dict[str, float | int | None]


class RunLogger:
    """The logger of one run.

    steps: of the whole run; steps_per_epoch: turns steps into epochs; validation_metrics: the names of the metrics that
    a validation adds to metrics.csv; unreadable: the lines on unreadable images that are logged already.
    """

    def __init__(
        self,
        folder: RunFolder,
        console: Console,
        steps: int,
        steps_per_epoch: float,
        validation_metrics: Sequence[str],
        unreadable: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.console = console
        self.steps = steps
        self.steps_per_epoch = steps_per_epoch
        self.validation_metrics = tuple(validation_metrics)
        self.progress: ProgressDisplay | None = None
        self.loggers: Loggers | None = None
        self.unreadable = list(unreadable)
        self.other_sizes: dict[str, None] = {}
        self._progress_step = 0

    def attach_progress(self, progress: ProgressDisplay, steps_done: int) -> None:
        """Show the steps that follow on a progress bar; an earlier run did the first ``steps_done``."""
        self.progress, self._progress_step = progress, steps_done
        if steps_done:
            progress.start_at(steps_done)

    def log(self, line: str) -> None:
        """Write a line to the screen and to log.txt."""
        self.folder.log(line)
        if self.progress is not None:
            self.progress.write(line)
        else:
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def log_header(self, lines: Sequence[str], dropped: Sequence[object]) -> None:
        """Log every box that is not trained or validated on, then the lines that describe the run."""
        for box in dropped:
            self.log(f"skipped box: {box}")
        for line in lines:
            self.log(line)

    def log_unreadable(self, lines: Sequence[str]) -> None:
        """Log a line for each image that could not be read, once per image."""
        for line in lines:
            if line not in self.unreadable:
                self.unreadable.append(line)
                self.log(f"skipped image: {line}")

    def log_other_sizes(self, lines: Sequence[str]) -> None:
        """Log the first image that is not of the size that its labels state, and count the others."""
        for line in lines:
            if not self.other_sizes:
                self.log(f"another size than labelled (its boxes are clipped to the image): {line}")
            self.other_sizes.setdefault(line)

    def log_number_of_other_sizes(self) -> None:
        """Log how many images were not of the size that their labels state, if any."""
        if self.other_sizes:
            self.log(f"{len(self.other_sizes)} images of another size than labelled: detect data inspect")

    def log_training(self, row: Mapping[str, float | int]) -> None:
        """Log the mean losses and times of the last steps."""
        step = int(row["step"])
        names = [name for name in row if name not in ("step", "lr", "loss", "data_seconds", "step_seconds")]
        self._add_metrics(
            {"step": step, "epoch": step / self.steps_per_epoch, **{k: v for k, v in row.items() if k != "step"}}
            | dict.fromkeys(["val_loss", *(f"val_{name}" for name in self.validation_metrics)])
        )
        losses = " ".join(f"{name} {row[name]:.3f}" for name in ("loss", *names))
        line = (
            f"step {step}/{self.steps} epoch {step / self.steps_per_epoch:.2f} lr {row['lr']:.2g} {losses}; "
            f"{row['step_seconds']:.3f} s a step, {row['data_seconds']:.3f} s waiting for data"
        )
        self.folder.log(line)
        if self.progress is not None:
            self.progress.advance(step - self._progress_step, f"loss {row['loss']:.3f}", line)
        self._progress_step = step

    def log_validation(self, step: int, loss: float, metrics: Mapping[str, float | None], is_best: bool) -> None:
        """Log the loss and the metrics of a validation."""
        row: Row = {"step": step, "epoch": step / self.steps_per_epoch, "val_loss": loss}
        self._add_metrics(row | {f"val_{name}": metrics[name] for name in self.validation_metrics})
        metric_texts = " ".join(
            f"{name} {_format_metric(value)}" for name, value in metrics.items() if name in self.validation_metrics
        )
        note = " (best so far)" if is_best else ""
        self.log(f"validation after epoch {step / self.steps_per_epoch:.2f}: loss {loss:.3f} {metric_texts}{note}")

    def _add_metrics(self, row: Row) -> None:
        self.folder.add_metrics(row)
        if self.loggers is not None:
            self.loggers.scalars(*finite_cells(row))


def _format_metric(value: float | None) -> str:
    return "none (no ground truth)" if value is None else f"{value:.4f}"
