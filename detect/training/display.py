"""What a run shows while it works: a bar on a terminal, plain lines when piped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class Display(Protocol):
    """Where lines and progress go."""

    def line(self, text: str) -> None:
        """A line that stays."""

    def advance(self, count: int, note: str = "") -> None:
        """``count`` more are done."""


class Bar:
    """On a terminal."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def line(self, text: str) -> None:
        """Above the bar."""
        self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def advance(self, count: int, note: str = "") -> None:
        """Move the bar."""
        self._progress.update(self._task, advance=count, note=note)


class Lines:
    """Piped, or in a log."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def line(self, text: str) -> None:
        """As it is."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def advance(self, count: int, note: str = "") -> None:
        """Nothing: the lines say enough."""


@contextmanager
def display(console: Console, what: str, total: int, unit: str, done: int = 0) -> Iterator[Display]:
    """A display of ``total`` units of work, ``done`` of them before now."""
    if not console.is_terminal:
        yield Lines(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{unit} {{task.fields[note]}}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bar(progress, progress.add_task(what, total=total, completed=done, note=""))
