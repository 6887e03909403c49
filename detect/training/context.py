"""The inputs that every stage of a training shares, and the result of a training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from detect.config import Config
from detect.data.annotations import Annotations
from detect.data.loading.collate import ProposalLookup
from detect.evaluation.score import Score
from detect.system.device import ComputeConfig
from detect.system.distributed import SINGLE_PROCESS, ProcessGroup
from detect.training.loggers.logger import Logger
from detect.training.run_folder import RunFolder


@dataclass(frozen=True)
class RunContext:
    """Everything that a stage of a training works with.

    folder: the run folder of the stage; train, val: the annotations of the two splits; proposals: those of both splits,
    for a detector that does not make its own, else None; unreadable: a line for each image that could not be read and
    was logged before the recipe began; group: the processes that train together; loggers: those that were given beside
    those of the settings.
    """

    config: Config
    folder: RunFolder
    train: Annotations
    val: Annotations
    proposals: ProposalLookup | None
    compute: ComputeConfig
    console: Console
    unreadable: tuple[str, ...] = ()
    group: ProcessGroup = SINGLE_PROCESS
    loggers: tuple[Logger, ...] = ()

    def log(self, line: str) -> None:
        """Write a line to the screen and to log.txt."""
        self.folder.log(line)
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training.

    folder: the run folder; score: the score of the last validation, or None; unreadable: a line for each image that
    could not be read.
    """

    folder: Path
    score: Score | None
    unreadable: tuple[str, ...]
