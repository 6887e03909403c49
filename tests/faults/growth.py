"""What a command and its processes hold while it runs, and whether that grows."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import theilslopes

from tests.faults.commands import ROOT

EVERY = 0.1  # seconds between two samples
PAGE = resource.getpagesize()


@dataclass(frozen=True)
class Held:
    """At one moment, by a process and its children: bytes of resident memory, and open files."""

    memory: int
    files: int


@dataclass(frozen=True)
class Run:
    """A command that has ended: its status, what it printed, and what it held from its start to its end."""

    status: int
    text: str
    held: tuple[Held, ...]

    @property
    def memory_growth(self) -> float:
        """Bytes over the whole run."""
        return growth([each.memory for each in self.held])

    @property
    def files_growth(self) -> float:
        """Open files over the whole run."""
        return growth([each.files for each in self.held])


def growth(values: Sequence[float]) -> float:
    """By how much a series would grow over its whole length if it went on as in its second half.

    Theil and Sen's slope, the median of those of all pairs, does not see what is held for moments only, as in a
    validation. The first half is for the allocator to settle: the memory of a tiny training grows by 10 MB from the
    first to the second thousand steps, and by 1 MB from the fifth to the sixth.
    """
    settled = values[len(values) // 2 :]
    if len(settled) < 2:
        return 0.0
    return float(theilslopes(settled).slope) * len(values)


def watched(command: Sequence[object], output: Path) -> Run:
    """Run ``python COMMAND...`` to its end, on one thread; it prints into the file ``output``."""
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
        held = []
        while process.poll() is None:
            held += list(_held(process.pid))
            time.sleep(EVERY)
    return Run(process.returncode, output.read_text("utf-8", "replace"), tuple(held))


def _held(pid: int) -> Iterator[Held]:
    """One sample, or none where one of the processes ends in this moment."""
    try:
        own = [pid, *_children(pid)]
        pages = sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in own)
        yield Held(pages * PAGE, sum(len(list(Path(f"/proc/{each}/fd").iterdir())) for each in own))
    except OSError:
        return


def _children(pid: int) -> list[int]:
    """Those of all its threads: a worker is a child of the thread that started it."""
    return [int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()]
