"""Cores of this process, and settings of threads and memory for a machine that other programs use too."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from pathlib import Path

# Flags of /proc/cpuinfo: products of 8-bit numbers, added up in one instruction (x86: VNNI and AMX; Arm: dot product).
INT8_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "avx_vnni_int8", "amx_int8", "asimddp"})
_SPIN_COUNT = "20000"  # iterations of the busy loop, some tens of microseconds; libgomp's 300,000 are milliseconds
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # parameter numbers in glibc's malloc.h
_MMAP_THRESHOLD_BYTES = 1 << 28


def limit_thread_spinning() -> None:
    """Let waiting threads give up their core after some tens of microseconds. Call it before torch is imported.

    The threads of one operation wait for each other in a busy loop. Where another program holds a core, they spin while
    the thread that they wait for has no core: two trainings at once on two cores took 10 times as long as one alone.
    With this setting they take twice as long, and one alone takes as long as before. A value that the user has set is
    kept.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", _SPIN_COUNT)


def tune_malloc() -> None:
    """Let large tensors reuse freed memory on Linux, instead of returning it to the system after each operation.

    glibc maps and unmaps every block over 32 MB, and each page of a new mapping is faulted in and zeroed: 80,000 faults
    in a training step of MobileNetV2 at eight images, 2,000 with this setting. The step takes 0.90 of its time (two
    cores). Blocks over ``_MMAP_THRESHOLD_BYTES`` are still returned, because small outputs that stay alive settle in
    the holes that large blocks leave: with a limit of 1 GB the evaluation of R-CNN grew to 20 GB in 300 images.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has no mallopt
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_int8_instructions(cpu_info: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether the processor has instructions for products of 8-bit numbers; True where its flags are unknown.

    Without them each product takes several instructions. Apple's processors have them.
    """
    if not cpu_info.is_file():
        return platform.machine() == "arm64" or not sys.platform.startswith("linux")
    flags: set[str] = set()
    for line in cpu_info.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, text = line.partition(":")
        if name.strip() in ("flags", "Features"):
            flags.update(text.split())
    return not flags or not INT8_FLAGS.isdisjoint(flags)
