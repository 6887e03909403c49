"""Times variants in interleaved runs (A B, B A), so that a slow machine affects all of them; measures processes."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Generic, TypeVar

import torch

from detect.errors import RunError

Input = TypeVar("Input")
Output = TypeVar("Output")

Variant = Callable[[int], float]  # index of the repeat -> seconds it took


@dataclass(frozen=True)
class Timing:
    """The seconds of each repeat of a variant, in order."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Return the median of all repeats."""
        return median(self.seconds)

    @property
    def min_max(self) -> tuple[float, float]:
        """Return the seconds of the fastest repeat and of the slowest one."""
        return min(self.seconds), max(self.seconds)


def timed(run: Callable[[], object]) -> Variant:
    """Return ``run`` as a variant that does the same work in every repeat."""
    return lambda _: _seconds(run)


def timed_on(inputs: Sequence[Input], run: Callable[[Input], object]) -> Variant:
    """Return ``run`` as a variant that takes the next of ``inputs`` in each repeat, and starts again after the last."""
    return lambda repeat: _seconds(lambda: run(inputs[repeat % len(inputs)]))


def time_interleaved(variants: Mapping[str, Variant], repeats: int) -> dict[str, Timing]:
    """Run all variants ``repeats`` times, in alternating order, and return the timing of each.

    Before the first repeat each variant runs once untimed.
    """
    times: dict[str, list[float]] = {name: [] for name in variants}
    for variant in variants.values():
        variant(0)
    for repeat in range(repeats):
        for name in sorted(variants, key=list(variants).index, reverse=bool(repeat % 2)):
            times[name].append(variants[name](repeat))
    return {name: Timing(tuple(seconds)) for name, seconds in times.items()}


def _seconds(run: Callable[[], object]) -> float:
    wait_for_gpu()
    start = time.perf_counter()
    run()
    wait_for_gpu()
    return time.perf_counter() - start


def wait_for_gpu() -> None:
    """Wait until the GPU has done all that this process asked of it; nothing where no GPU is in use."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()


@dataclass(frozen=True)
class ProcessRun(Generic[Output]):
    """What a function returned in a process of its own, and the peak memory of that process in bytes."""

    output: Output
    peak_memory: int


def run_in_process(function: Callable[..., Output], *arguments: object) -> ProcessRun[Output]:
    """Run ``function(*arguments)`` in a new process; its memory includes Python and torch.

    function: a function at the top level of a module, so that another process can import it. Raises RunError where it
    fails.
    """
    receiver, sender = multiprocessing.get_context("spawn").Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_run_and_send, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        received: ProcessRun[Output] = receiver.recv()
    except EOFError:
        raise RunError(f"{function.__name__}: expected its return in a new process, found that it failed") from None
    finally:
        process.join()
    return received


def _run_and_send(sender: Connection, function: Callable[..., object], arguments: tuple[object, ...]) -> None:
    output = function(*arguments)
    sender.send(ProcessRun(output, _peak_of_this_process()))


def _peak_of_this_process() -> int:
    """Return the peak memory of this process in bytes.

    ``ru_maxrss`` is wrong on Linux for this purpose: a process starts with the value of its parent.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
