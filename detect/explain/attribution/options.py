"""What a user may choose about an explanation."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from detect.system.progress import Display

Progress = Callable[[str, int], AbstractContextManager[Display]]  # what is done, how many pictures it takes


@dataclass(frozen=True)
class Choice:
    """progress: shows work that looks at many pictures; layer: a network's layer by name, None for the method's usual
    one; masks: how many random ones; seed: of everything random.
    """

    progress: Progress
    layer: str | None = None
    masks: int = 1000
    seed: int = 0


class _Nobody:
    """A display that nobody sees."""

    def line(self, text: str) -> None:
        """Dropped."""

    def found_done(self, count: int) -> None:
        """Dropped."""

    def advance(self, count: int, note: str = "", line: str | None = None) -> None:
        """Dropped."""


def unseen(_: str, __: int) -> AbstractContextManager[Display]:
    """Progress that nobody watches."""
    return nullcontext(_Nobody())
