"""What a user may choose about an explanation."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from detect.system.progress import ProgressDisplay

ShowProgress = Callable[[str, int], AbstractContextManager[ProgressDisplay]]  # what is done, how many pictures it takes


@dataclass(frozen=True)
class MethodOptions:
    """progress: shows work that looks at many pictures; layer: a network's layer by name, None for the method's usual
    one; masks: how many random ones; seed: of everything random.
    """

    progress: ShowProgress
    layer: str | None = None
    masks: int = 1000
    seed: int = 0


class _NullProgress:
    """A display that nobody sees."""

    def write(self, text: str) -> None:
        """Dropped."""

    def start_at(self, count: int) -> None:
        """Dropped."""

    def advance(self, count: int, note: str = "", line: str | None = None) -> None:
        """Dropped."""


def no_progress(_: str, __: int) -> AbstractContextManager[ProgressDisplay]:
    """Progress that nobody watches."""
    return nullcontext(_NullProgress())
