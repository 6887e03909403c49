"""What a command and its processes hold while it works, and whether that grows with the work."""

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

from tests.fault_injection.command_client import ROOT

INTERVAL = 0.05  # seconds between two samples
PAGE = resource.getpagesize()
MAX_SAMPLES = 1000  # all their pairs are looked at


@dataclass(frozen=True)
class Sample:
    """At one moment, by a process and its children: bytes of resident memory, and open files. done: how much work."""

    done: int
    memory: int
    files: int


@dataclass(frozen=True)
class MonitoredRun:
    """A command that has ended: its status, what it printed, and what it held from its start to its end."""

    status: int
    text: str
    samples: tuple[Sample, ...]

    @property
    def memory_growth(self) -> float:
        """Bytes over the whole work."""
        return growth([each.done for each in self.samples], [each.memory for each in self.samples])

    @property
    def files_growth(self) -> float:
        """Open files over the whole work."""
        return growth([each.done for each in self.samples], [each.files for each in self.samples])


def growth(done: Sequence[int], values: Sequence[float]) -> float:
    """By how much values would grow over the whole work if they went on as in its second half.

    By the work and not by the clock, which on a loaded machine says little. Theil and Sen's slope, the median of those
    of all pairs, does not see what is held for moments only, as in a validation. The first half is for the allocator to
    settle: the memory of a tiny training grows by 10 MB from the first to the second thousand steps, and by 1 MB from
    the fifth to the sixth.
    """
    settled = [(x, y) for x, y in zip(done, values, strict=True) if 2 * x > done[-1]]
    if len({x for x, _ in settled}) < 2:
        return 0.0
    chosen = settled[:: -(-len(settled) // MAX_SAMPLES)]
    return float(theilslopes([y for _, y in chosen], [x for x, _ in chosen]).slope) * done[-1]


def run_monitored(command: Sequence[object], output: Path, progress_file: Path) -> MonitoredRun:
    """Run ``python COMMAND...`` to its end, on one thread; it prints into the file ``output``.

    grows: a file that it writes, which is as long as much is done.
    """
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
        samples: list[Sample] = []
        while process.poll() is None:
            samples += (
                each for each in _take_sample(process.pid, progress_file) if not samples or each.done > samples[-1].done
            )
            time.sleep(INTERVAL)
    return MonitoredRun(process.returncode, output.read_text("utf-8", "replace"), tuple(samples))


def _take_sample(pid: int, progress_file: Path) -> Iterator[Sample]:
    """One sample, or none where nothing is done yet or one of the processes ends in this moment."""
    try:
        done, processes = progress_file.stat().st_size, [pid, *_children(pid)]
        pages = sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in processes)
        yield Sample(done, pages * PAGE, sum(len(list(Path(f"/proc/{each}/fd").iterdir())) for each in processes))
    except OSError:
        return


def _children(pid: int) -> list[int]:
    """Those of all its threads: a worker is a child of the thread that started it."""
    return [int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()]
