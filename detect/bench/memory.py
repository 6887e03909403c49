"""The most memory that a piece of work holds, measured in a process of its own."""

from __future__ import annotations

import multiprocessing
import resource
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from detect.errors import WorkError


def peak_memory(work: Callable[..., object], *arguments: object) -> int:
    """Bytes that a fresh process which runs ``work(*arguments)`` holds at its peak, Python and torch included.

    work: a function of a module, for another process. WorkError where it fails.
    """
    here, there = multiprocessing.get_context("spawn").Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_measured, args=(there, work, arguments))
    process.start()
    there.close()
    try:
        peak = int(here.recv())
    except EOFError:
        raise WorkError(f"{work.__name__}: expected its peak memory, found that its process failed") from None
    finally:
        process.join()
    return peak


def _measured(there: Connection, work: Callable[..., object], arguments: tuple[object, ...]) -> None:
    work(*arguments)
    there.send(_peak())


def _peak() -> int:
    """Of this process, in bytes. Linux's ``ru_maxrss`` is no use: a process starts with that of its parent."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
