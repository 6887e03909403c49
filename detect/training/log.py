"""What a run tells: lines on the screen and in log.txt, rows in metrics.csv and where asked for in event files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console

from detect.system.progress import Display
from detect.training.run_folder import RunFolder
from detect.training.tensorboard import Events

Row = dict[str, float | int | None]


class Journal:
    """One run's; ``batches`` an epoch turn steps into epochs, ``validation`` names the metrics to come, ``unreadable``
    has the images that are named already.
    """

    def __init__(
        self,
        folder: RunFolder,
        console: Console,
        steps: int,
        steps_per_epoch: float,
        validation: Sequence[str],
        unreadable: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.console = console
        self.steps = steps
        self.steps_per_epoch = steps_per_epoch
        self.validation = tuple(validation)
        self.display: Display | None = None
        self.events: Events | None = None
        self.unreadable = list(unreadable)
        self._shown_step = 0

    def watch(self, display: Display, first: int) -> None:
        """Show what follows on ``display``; ``first`` steps were done by an earlier run."""
        self.display, self._shown_step = display, first
        if first:
            display.found_done(first)

    def say(self, line: str) -> None:
        """To the screen and to log.txt."""
        self.folder.log(line)
        if self.display is not None:
            self.display.line(line)
        else:
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def introduce(self, lines: Sequence[str], dropped: Sequence[object]) -> None:
        """What is about to happen, and every box that will not take part."""
        for box in dropped:
            self.say(f"box left out: {box}")
        for line in lines:
            self.say(line)

    def note_unreadable(self, lines: Sequence[str]) -> None:
        """Say each image once."""
        for line in lines:
            if line not in self.unreadable:
                self.unreadable.append(line)
                self.say(f"image left out: {line}")

    def training(self, row: Mapping[str, float | int]) -> None:
        """Mean losses and times of the last steps."""
        step = int(row["step"])
        names = [name for name in row if name not in ("step", "lr", "loss", "data_seconds", "step_seconds")]
        self._add_metrics(
            {"step": step, "epoch": step / self.steps_per_epoch, **{k: v for k, v in row.items() if k != "step"}}
            | dict.fromkeys(["val_loss", *(f"val_{name}" for name in self.validation)])
        )
        losses = " ".join(f"{name} {row[name]:.3f}" for name in ("loss", *names))
        line = (
            f"step {step}/{self.steps} epoch {step / self.steps_per_epoch:.2f} lr {row['lr']:.2g} {losses}; "
            f"{row['step_seconds']:.3f} s a step, {row['data_seconds']:.3f} s waiting for data"
        )
        self.folder.log(line)
        if self.display is not None:
            self.display.advance(step - self._shown_step, f"loss {row['loss']:.3f}", line)
        self._shown_step = step

    def validated(self, step: int, loss: float, numbers: Mapping[str, float | None], better: bool) -> None:
        """A validation's loss and metrics."""
        row: Row = {"step": step, "epoch": step / self.steps_per_epoch, "val_loss": loss}
        self._add_metrics(row | {f"val_{name}": numbers[name] for name in self.validation})
        shown = " ".join(f"{name} {_fraction(value)}" for name, value in numbers.items() if name in self.validation)
        note = " (best so far)" if better else ""
        self.say(f"validation after epoch {step / self.steps_per_epoch:.2f}: loss {loss:.3f} {shown}{note}")

    def _add_metrics(self, row: Row) -> None:
        self.folder.add_metrics(row)
        if self.events is not None:
            self.events.add(row)


def _fraction(value: float | None) -> str:
    return "none (no ground truth)" if value is None else f"{value:.4f}"
