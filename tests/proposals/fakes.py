"""Searches that need no compiler, and images to search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from detect.proposals.search_dataset import Made
from detect.types import Proposals

NAMES = [f"{number}.png" for number in range(9)]
Maker = Callable[..., tuple[Made, int]]


class Watched:
    """A display that remembers."""

    def __init__(self) -> None:
        self.before = self.done = 0

    def line(self, text: str) -> None:
        raise AssertionError(text)

    def found_done(self, count: int) -> None:
        self.before += count

    def advance(self, count: int, note: str = "", line: str | None = None) -> None:
        assert (note, line) == ("", None)
        self.done += count


class FakeSearch:
    """Boxes that depend on pixels and settings alone; remembers how many images it has seen, and stops before one."""

    def __init__(self, stop_before: int | None = None) -> None:
        self.seen = 0
        self.stop_before = stop_before

    def __call__(
        self, rgb: np.ndarray, mode: str, seed: int, *, threads: int, min_side: float, resize_to: int | None
    ) -> Proposals:
        assert (threads, min_side) == (1, 20)
        if self.seen == self.stop_before:
            raise ZeroDivisionError
        self.seen += 1
        rng = np.random.default_rng([int(rgb.sum()), len(mode), seed])
        corners = rng.integers(0, 400, (int(rgb[0, 0, 0]) % 7, 4)).astype(np.float32)
        if resize_to is not None:
            corners /= np.float32(resize_to)
        return Proposals(torch.from_numpy(corners), torch.linspace(1, 0.25, len(corners)))


def photograph(folder: Path, names: Sequence[str], seed: int = 0) -> list[Path]:
    """Small images, each another."""
    files = []
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng([seed, *name.encode()])
        cv2.imwrite(str(file), rng.integers(0, 255, (12, 16, 3), np.uint8))
        files.append(file)
    return files
