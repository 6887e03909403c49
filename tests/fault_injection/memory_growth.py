"""Sample the memory and open files of a command and its processes, and measure whether they grow with the work."""

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
MAX_SAMPLES = 1000  # the slope is the median over all their pairs


@dataclass(frozen=True)
class Sample:
    """A sample of a process and its children: the work done, bytes of resident memory, and the number of open files."""

    done: int
    memory: int
    files: int


@dataclass(frozen=True)
class MonitoredRun:
    """A command that has ended: its exit status, the printed text, and the samples from its start to its end."""

    status: int
    text: str
    samples: tuple[Sample, ...]

    @property
    def memory_growth(self) -> float:
        """The growth of the memory over the whole work, in bytes."""
        return growth([sample.done for sample in self.samples], [sample.memory for sample in self.samples])

    @property
    def files_growth(self) -> float:
        """The growth of the number of open files over the whole work."""
        return growth([sample.done for sample in self.samples], [sample.files for sample in self.samples])


def growth(done: Sequence[int], values: Sequence[float]) -> float:
    """Return how much values would grow over the whole work at the slope of its second half.

    The slope is per work and not per second, which on a loaded machine would vary. Theil and Sen's slope, the median of
    those of all pairs, ignores short peaks, as in a validation. The first half is for the allocator to settle: the
    memory of a tiny training grows by 10 MB from the first to the second thousand steps, and by 1 MB from the fifth to
    the sixth.
    """
    settled = [(x, y) for x, y in zip(done, values, strict=True) if 2 * x > done[-1]]
    if len({x for x, _ in settled}) < 2:
        return 0.0
    chosen = settled[:: -(-len(settled) // MAX_SAMPLES)]
    return float(theilslopes([y for _, y in chosen], [x for x, _ in chosen]).slope) * done[-1]


def run_monitored(command: Sequence[object], output: Path, progress_file: Path) -> MonitoredRun:
    """Run ``python COMMAND...`` to its end, on one thread, with its output in the file ``output``.

    progress_file: a file that the command writes, whose size measures the work done.
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
            for sample in _take_sample(process.pid, progress_file):
                if not samples or sample.done > samples[-1].done:
                    samples.append(sample)
            time.sleep(INTERVAL)
    return MonitoredRun(process.returncode, output.read_text("utf-8", "replace"), tuple(samples))


def _take_sample(pid: int, progress_file: Path) -> Iterator[Sample]:
    """Yield one sample, or none if no work is done yet or one of the processes is just ending."""
    try:
        done, processes = progress_file.stat().st_size, [pid, *_children(pid)]
        pages = sum(int(Path(f"/proc/{process}/statm").read_text().split()[1]) for process in processes)
        files = sum(len(list(Path(f"/proc/{process}/fd").iterdir())) for process in processes)
        yield Sample(done=done, memory=pages * PAGE, files=files)
    except OSError:
        return


def _children(pid: int) -> list[int]:
    """Return the children of all threads of a process: a worker is a child of the thread that started it."""
    return [int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()]
