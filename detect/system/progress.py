"""What long work shows: a bar with rate and time left on a terminal, plain lines when piped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.progress import TimeRemainingColumn as TimeLeft
from rich.text import Text

SECONDS_BETWEEN_LINES = 20.0


class Display(Protocol):
    """Where lines and progress go."""

    def line(self, text: str) -> None:
        """A line that stays."""

    def found_done(self, count: int) -> None:
        """``count`` were done by an earlier run; they say nothing about the rate."""

    def advance(self, count: int, note: str = "", line: str | None = None) -> None:
        """``count`` more are done; note: stands beside a bar; line: what to print where there is no bar."""


class Bar:
    """On a terminal."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def line(self, text: str) -> None:
        """Above the bar."""
        self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def found_done(self, count: int) -> None:
        """Start the bar there."""
        self._progress.reset(self._task, completed=count)

    def advance(self, count: int, note: str = "", line: str | None = None) -> None:  # noqa: ARG002
        """Move the bar."""
        self._progress.update(self._task, advance=count, note=note)


class Lines:
    """Piped, or in a log."""

    def __init__(self, console: Console, what: str, total: int, unit: str) -> None:
        self._console = console
        self._what, self._total, self._unit = what, total, unit
        self._first = self._done = 0
        self._start = self._last = time.monotonic()

    def line(self, text: str) -> None:
        """As it is."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def found_done(self, count: int) -> None:
        """Say it."""
        self._first = self._done = count
        self.line(f"{self._what}: {count} of {self._total} {self._unit} were done before")

    def advance(self, count: int, note: str = "", line: str | None = None) -> None:  # noqa: ARG002
        """``line``, or else now and then how far the work is."""
        self._done += count
        now = time.monotonic()
        if line is not None:
            self.line(line)
        elif now - self._last >= SECONDS_BETWEEN_LINES and self._done > self._first:
            rate = (self._done - self._first) / (now - self._start)
            left = (self._total - self._done) / rate
            self.line(
                f"{self._what}: {self._done} of {self._total} {self._unit}, {rate:.3g} a second, {left:.0f} s left"
            )
            self._last = now


class Rate(ProgressColumn):
    """Units a second, over the last half minute."""

    def render(self, task: Task) -> Text:
        """Nothing until there is a rate."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.3g} a second")


@contextmanager
def display(console: Console, what: str, total: int, unit: str) -> Iterator[Display]:
    """A display of ``total`` units of work."""
    if not console.is_terminal:
        yield Lines(console, what, total, unit)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{unit} {{task.fields[note]}}"),
        Rate(),
        TimeLeft(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bar(progress, progress.add_task(what, total=total, note=""))
