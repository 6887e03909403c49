"""A fake selective search that needs no compiler, a recording progress display, and images to search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from detect.proposals.search_dataset import SearchSummary
from detect.types import Proposals

IMAGE_NAMES = [f"{i}.png" for i in range(9)]
MakeProposals = Callable[..., tuple[SearchSummary, int]]


class RecordingProgress:
    """A progress display that records its counts."""

    def __init__(self) -> None:
        self.num_reused = self.num_done = 0

    def write(self, text: str) -> None:
        raise AssertionError(text)

    def start_at(self, count: int) -> None:
        self.num_reused += count

    def advance(self, count: int, note: str = "", line: str | None = None) -> None:
        assert (note, line) == ("", None)
        self.num_done += count


class FakeSearch:
    """Returns boxes that depend only on pixels and settings; counts the images and fails at image ``fail_at``."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.num_searched = 0
        self.choices: dict[str, object] = {}  # of the last search
        self.fail_at = fail_at

    def __call__(
        self,
        rgb: np.ndarray,
        *,
        threads: int,
        mode: str,
        seed: int,
        min_side: float,
        resize_to: int | None,
        **choices: object,
    ) -> Proposals:
        assert (threads, min_side) == (1, 20)
        self.choices = choices
        if self.num_searched == self.fail_at:
            raise ZeroDivisionError
        self.num_searched += 1
        rng = np.random.default_rng([int(rgb.sum()), len(mode), seed])
        corners = np.sort(rng.integers(0, 400, (int(rgb[0, 0, 0]) % 7, 2, 2)), axis=1).reshape(-1, 4).astype(np.float32)
        if resize_to is not None:
            corners /= np.float32(resize_to)
        return Proposals(torch.from_numpy(corners), torch.linspace(1, 0.25, len(corners)))


def write_random_images(folder: Path, names: Sequence[str], seed: int = 0) -> list[Path]:
    """Write small random images, each different, and return their files."""
    files = []
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng([seed, *name.encode()])
        cv2.imwrite(str(file), rng.integers(0, 255, (12, 16, 3), np.uint8))
        files.append(file)
    return files
