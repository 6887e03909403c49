"""Progress of long work: a bar with rate and remaining time on a terminal, plain lines when output is piped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from detect.system.numbers import format_number

SECONDS_BETWEEN_LINES = 20.0


class ProgressDisplay(Protocol):
    """The interface for printing lines and reporting progress."""

    def write(self, text: str) -> None:
        """Print a line that stays."""

    def start_at(self, count: int) -> None:
        """Count ``count`` units as done by an earlier run; they do not enter the rate."""

    def advance(self, count: int, note: str = "", line: str | None = None) -> None:
        """Count ``count`` more units as done; note: text next to a bar; line: the text to print if there is no bar."""


class ProgressBar:
    """Shows progress as a bar on a terminal."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def write(self, text: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def start_at(self, count: int) -> None:
        """Start the bar at ``count`` units."""
        self._progress.reset(self._task, completed=count)

    def advance(self, count: int, note: str = "", line: str | None = None) -> None:  # noqa: ARG002
        """Move the bar by ``count`` units and replace its note."""
        self._progress.update(self._task, advance=count, note=note)


class PlainProgress:
    """Shows progress as lines, for piped output or a log."""

    def __init__(self, console: Console, label: str, total: int, unit: str) -> None:
        self._console = console
        self._label, self._total, self._unit = label, total, unit
        self._first = self._done = 0
        self._start_time = self._last_time = time.monotonic()

    def write(self, text: str) -> None:
        """Print the line unchanged."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def start_at(self, count: int) -> None:
        """Print a line with the number of units that an earlier run has done."""
        self._first = self._done = count
        self.write(f"{self._label}: {count} of {self._total} {self._unit} were done before")

    def advance(self, count: int, note: str = "", line: str | None = None) -> None:  # noqa: ARG002
        """Print ``line`` if given; otherwise print the progress every 20 seconds."""
        self._done += count
        now = time.monotonic()
        if line is not None:
            self.write(line)
        elif now - self._last_time >= SECONDS_BETWEEN_LINES and self._done > self._first:
            rate = (self._done - self._first) / (now - self._start_time)
            seconds_left = (self._total - self._done) / rate
            self.write(
                f"{self._label}: {self._done} of {self._total} {self._unit}, {format_number(rate)} per second, "
                f"{seconds_left:.0f} s left"
            )
            self._last_time = now


class RateColumn(ProgressColumn):
    """A column with the units per second over the last half minute."""

    def render(self, task: Task) -> Text:
        """Return the rate as text, empty until there is one."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{format_number(speed)} per second")


@contextmanager
def show_progress(console: Console, label: str, total: int, unit: str) -> Iterator[ProgressDisplay]:
    """Yield a display for ``total`` units of work: a bar on a terminal, lines otherwise."""
    if not console.is_terminal:
        yield PlainProgress(console, label, total, unit)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{unit} {{task.fields[note]}}"),
        RateColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield ProgressBar(progress, progress.add_task(label, total=total, note=""))
