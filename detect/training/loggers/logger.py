"""What a logger is, and several of them as one that cannot end a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from detect.errors import RunError, UserError, first_line

EndStatus = Literal["finished", "interrupted", "failed"]


@dataclass(frozen=True)
class LoggedRun:
    """The run that a logger follows.

    folder: the run folder; settings: all of them, by their keys (``train.lr``); steps_done: steps of an earlier run
    that this one resumes, 0 for a new run.
    """

    folder: Path
    settings: Mapping[str, object]
    steps_done: int


class Logger(Protocol):
    """A program that follows a training. It is called in this order, by the main process alone.

    A recipe of several stages starts and ends a logger once for each stage, whose folder lies in that of the run.
    """

    name: str

    def start(self, run: LoggedRun) -> None:
        """Begin a run, or go on with one. An error here ends the training before its first step."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add a row of metrics.csv, by its columns; blank and non-finite cells are left out."""

    def picture(self, step: int, file: Path) -> None:
        """Add a picture that was written: training batches, validation images, curves."""

    def file(self, file: Path) -> None:
        """Add another file that was written: config.yaml, environment.json, log.txt, metrics.csv."""

    def end(self, status: EndStatus) -> None:
        """End the run, or the part of it until it is resumed."""


class Loggers:
    """Several loggers as one. What one of them raises after the start is logged once, and it then logs nothing more.

    A training of days does not end because the disk of a tracking server is full. log: writes a line of the run's log.
    """

    def __init__(self, loggers: Sequence[Logger], log: Callable[[str], None]) -> None:
        self._active = list(loggers)
        self._log = log

    def start(self, run: LoggedRun) -> None:
        """Start all loggers. Raises RunError, or the UserError of a logger, where one of them cannot."""
        for logger in self._active:
            try:
                logger.start(run)
            except UserError:
                raise
            except Exception as error:
                raise RunError(
                    f"train.loggers: {logger.name}: expected to start, found: {first_line(error)}"
                ) from error

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add a row of metrics.csv."""
        self._call(lambda logger: logger.scalars(step, values))

    def picture(self, step: int, file: Path) -> None:
        """Add a picture, if it was written."""
        if file.is_file():
            self._call(lambda logger: logger.picture(step, file))

    def file(self, file: Path) -> None:
        """Add a file, if it was written."""
        if file.is_file():
            self._call(lambda logger: logger.file(file))

    def end(self, status: EndStatus) -> None:
        """End all loggers."""
        self._call(lambda logger: logger.end(status))

    def _call(self, call: Callable[[Logger], None]) -> None:
        for logger in list(self._active):
            try:
                call(logger)
            except Exception as error:  # a program of somebody else, for which the training does not end
                self._active.remove(logger)
                self._log(f"train.loggers: {logger.name} failed, and logs nothing more: {first_line(error)}")
