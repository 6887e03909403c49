"""Good manners on a machine that others use too."""

from __future__ import annotations

import ctypes
import os
import sys

_SPINS = "20000"  # turns of a waiting loop, some tens of microseconds; libgomp's own 300,000 are a few milliseconds


def share_cores() -> None:
    """Let threads that wait for each other give up their core soon. Call it before torch is imported.

    Threads of one operation wait by spinning. Where another program holds a core, they spin while the thread that they
    wait for has none: two trainings at once on two cores each took 10 times as long as one alone, with this twice as
    long, and one alone takes as long as before. A value that the user has set stands.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_LARGEST = 1 << 28


def keep_freed_memory() -> None:
    """On Linux, let large tensors reuse freed memory instead of returning it to the system after each operation.

    glibc maps and unmaps every block over 32 MB, and each page of a new mapping is faulted in and zeroed: 80,000
    faults a training step of MobileNetV2 at eight images, 2,000 with this. The step takes 0.90 of its time (two cores).
    Larger blocks than ``_LARGEST`` go back all the same: the small results that stay settle in the holes that they
    leave, and with a limit of 1 GB R-CNN's evaluation grew to 20 GB in 300 images.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
