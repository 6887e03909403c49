"""The options of an explanation method."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from detect.models.adversaries.adversary import Adversary
from detect.system.progress import ProgressDisplay

ShowProgress = Callable[[str, int], AbstractContextManager[ProgressDisplay]]  # label, total number of images


@dataclass(frozen=True)
class MethodOptions:
    """The options of all methods; each method reads those it needs.

    progress: shows the progress of methods that run the network on many images; layer: the name of a layer of the
    network, None for the default layer; masks: number of random masks; seed: seed of all random draws; adversary: that
    the detector was trained against.
    """

    progress: ShowProgress
    layer: str | None = None
    masks: int = 1000
    seed: int = 0
    adversary: Adversary | None = None


class _NullProgress:
    """A progress display that shows nothing."""

    def write(self, text: str) -> None:
        """Ignore the text to print."""

    def start_at(self, count: int) -> None:
        """Ignore the count of earlier units."""

    def advance(self, count: int, note: str = "", line: str | None = None) -> None:
        """Ignore the count of finished units."""


def no_progress(_: str, __: int) -> AbstractContextManager[ProgressDisplay]:
    """Return a progress display that shows nothing."""
    return nullcontext(_NullProgress())
