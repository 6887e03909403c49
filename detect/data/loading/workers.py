"""Worker processes that read images: which file each is reading, and the message if the system kills one."""

from __future__ import annotations

import ctypes
import os
import re
import signal
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.sharedctypes import RawArray
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from detect.data.loading.collate import LoadedImage
from detect.errors import RunError
from detect.system.distributed import is_worker_death

_MAX_PATH_BYTES = 4095  # bytes of a path that Linux opens


class WorkerKilled(RunError):  # noqa: N818 - the name states the event
    """A worker process was killed by the system."""


class ImageDataset(Dataset[LoadedImage | str], ABC):
    """A data set of loaded images. An image that cannot be read is returned as the reason for it."""

    @abstractmethod
    def file(self, key: Any) -> str:
        """Return the path of the image that ``self[key]`` reads."""


class _CurrentFile(ctypes.Structure):
    """The file that a worker is reading; empty between two images."""

    _fields_ = (("pid", ctypes.c_int64), ("file", ctypes.c_char * (_MAX_PATH_BYTES + 1)))


class TrackedDataset(Dataset[LoadedImage | str]):
    """The same data set; while a worker reads an image, its file name is in memory that outlives the worker."""

    def __init__(self, dataset: ImageDataset, num_workers: int) -> None:
        self.dataset = dataset
        self._current_files = RawArray(_CurrentFile, num_workers)

    def __getitem__(self, key: Any) -> LoadedImage | str:
        worker = get_worker_info()
        assert worker is not None
        current = self._current_files[worker.id]
        current.pid = os.getpid()
        current.file = os.fsencode(self.dataset.file(key))[:_MAX_PATH_BYTES]
        try:
            return self.dataset[key]
        finally:
            current.file = b""

    def current_file(self, pid: int) -> str | None:
        """Return the file that the worker is reading; None between two images, or for another process."""
        return next(
            (os.fsdecode(current.file) for current in self._current_files if current.pid == pid and current.file), None
        )


def worker_init_fn(_: int) -> None:
    """Turn off threads and signals in a worker.

    The workers are the parallelism, and threads in each would only compete. OpenCV gets 0 threads and not 1: both mean
    none, but at 1 OpenCV stops its pool, and a forked worker would wait for threads that only its parent has.

    A Ctrl-C reaches the workers too. If they ended by it, the current step would fail instead of being finished and
    saved. They end when the main process ends them, or when it is gone.
    """
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, signal.SIG_IGN)


@contextmanager
def explain_worker_death(setting: str, loader: DataLoader[Any]) -> Iterator[None]:
    """Turn torch's error about a dead worker of ``loader`` into WorkerKilled, which names the file that it was reading.

    setting: the setting with the number of workers, for the message. torch raises its error from a handler of SIGCHLD,
    so it may occur in any line of the ``with`` block and not only where a batch is awaited.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_worker_death(error):
            raise
        reason = str(error).splitlines()[0].removeprefix("DataLoader ").rstrip(" .")
        files = _files_being_read(loader, reason)
        activity = f" while it was reading {' and '.join(files)}" if files else ""
        raise WorkerKilled(
            f"expected processes that read images to the end, found one ended by the system{activity}: {reason}; "
            f"if memory is short, lower {setting} (0: read in the main process)"
        ) from error


def _files_being_read(loader: DataLoader[Any], reason: str) -> list[str]:
    """Return the files that the workers named in torch's message were reading: (pid 7), or (pid(s) 7, 8)."""
    dataset = loader.dataset
    pids = re.search(r"\(pid(?:\(s\))? ([\d, ]+)\)", reason)
    if not isinstance(dataset, TrackedDataset) or pids is None:
        return []
    files = [dataset.current_file(int(pid)) for pid in pids[1].split(",")]
    return [file for file in files if file is not None]
