"""The record of what the emulated device was asked to do: where the host waits, and which memory is pinned."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor

CUDA = torch.device("cuda", 0)
PACKAGE = Path(__file__).resolve().parents[2] / "detect"


@dataclass
class Counts:
    """What the device was asked to do.

    waits, backward_waits: how many times the host waits, by line and cause; those of backward passes are apart.
    pageable: ``non_blocking`` copies from memory that is not pinned, by line, which CUDA copies once more on the host.
    operations: how many operations ran.
    """

    waits: Counter[str] = field(default_factory=Counter)
    backward_waits: Counter[str] = field(default_factory=Counter)
    pageable: Counter[str] = field(default_factory=Counter)
    operations: int = 0


class EmulatedDevice:
    """The device: its counts, and its pinned memory. package: the folder or file whose lines are named."""

    def __init__(self, package: Path) -> None:
        self.package, self.root = str(package), f"{package.parent}/"
        self.pinned: dict[int, Tensor] = {}  # by address of the storage; held, so that no address is used again
        self.counts = Counts()

    def take_counts(self) -> Counts:
        """Return the counts since the last call and start anew."""
        counts, self.counts = self.counts, Counts()
        return counts

    def wait(self, cause: str) -> None:
        """Count a wait at the innermost line of the package."""
        waits = self.counts.backward_waits if in_backward() else self.counts.waits
        waits[f"{self.line()} {cause}"] += 1

    def line(self) -> str:
        """Return ``file:line`` of the innermost frame of the package, or ``outside``."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            file = frame.f_code.co_filename
            if file.startswith(self.package):
                return f"{file.removeprefix(self.root)}:{frame.f_lineno}"
            frame = frame.f_back
        return "outside"

    def pin(self, tensor: Tensor) -> Tensor:
        """Return a copy of a tensor of the CPU in memory that counts as pinned."""
        copy = tensor.clone()
        self.pinned[copy.untyped_storage().data_ptr()] = copy
        return copy

    def is_pinned(self, tensor: Tensor) -> bool:
        """Return whether ``pin`` made the memory of a tensor."""
        return tensor.untyped_storage().data_ptr() in self.pinned


def in_backward() -> bool:
    """Return whether autograd runs a backward pass."""
    return torch._C._current_graph_task_id() != -1
