"""What every stage of a training works on, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from detect.config import Config
from detect.data.annotations import Annotations
from detect.data.loading.collate import GivenLookup
from detect.evaluation.score import Score
from detect.system.device import Compute
from detect.system.distributed import ALONE, Group
from detect.training.run_folder import RunFolder


@dataclass(frozen=True)
class Work:
    """given: the proposals of both splits, for a detector that does not make its own; unreadable: a line for each image
    that was found to be so, and named, before the recipe; group: the processes that train together.
    """

    config: Config
    folder: RunFolder
    train: Annotations
    val: Annotations
    given: GivenLookup | None
    compute: Compute
    console: Console
    unreadable: tuple[str, ...] = ()
    group: Group = ALONE

    def say(self, line: str) -> None:
        """To the screen and to log.txt."""
        self.folder.log(line)
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)


@dataclass(frozen=True)
class Outcome:
    """folder: the run's; score: of the last validation; unreadable: a line for each image that could not be read."""

    folder: Path
    score: Score | None
    unreadable: tuple[str, ...]
