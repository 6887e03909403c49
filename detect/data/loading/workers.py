"""Processes that read images: which file each is at, and what to say when the system ends one."""

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
from detect.errors import WorkError
from detect.system.distributed import tells_of_a_worker

_LONGEST = 4095  # bytes of a path that Linux opens


class WorkerEnded(WorkError):  # noqa: N818 - named for what happened
    """A process that reads images is gone."""


class Images(Dataset[LoadedImage | str], ABC):
    """By picks: each image as it is learned or looked at, or why it cannot be read."""

    @abstractmethod
    def file(self, pick: Any) -> str:
        """The path of the image that ``self[pick]`` reads."""


class _AtWork(ctypes.Structure):
    """What a worker tells of itself; file: empty between two images."""

    _fields_ = (("pid", ctypes.c_int64), ("file", ctypes.c_char * (_LONGEST + 1)))


class ReadByWorkers(Dataset[LoadedImage | str]):
    """The same images; while a worker reads one, its file stands in memory that outlives the worker."""

    def __init__(self, images: Images, workers: int) -> None:
        self.images = images
        self._at_work = RawArray(_AtWork, workers)

    def __getitem__(self, pick: Any) -> LoadedImage | str:
        worker = get_worker_info()
        assert worker is not None
        own = self._at_work[worker.id]
        own.pid = os.getpid()
        own.file = os.fsencode(self.images.file(pick))[:_LONGEST]
        try:
            return self.images[pick]
        finally:
            own.file = b""

    def file_at(self, pid: int) -> str | None:
        """The file that the worker was reading; None between two images, or for another process."""
        return next((os.fsdecode(each.file) for each in self._at_work if each.pid == pid and each.file), None)


def prepare_worker(_: int) -> None:
    """Workers are the parallelism; threads in each would only compete. Signals are the main process's business.

    0, not 1: both mean none, but at 1 OpenCV stops its pool, and a forked worker would wait for threads that only its
    parent has. A Ctrl-C reaches the workers too; were they to end by it, the step under way would fail instead of being
    finished and saved. They end when the main process tells them, or is gone.
    """
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def told_when_a_worker_ends(setting: str, loader: DataLoader[Any]) -> Iterator[None]:
    """Turns torch's error into WorkerEnded: the file that the worker of ``loader`` was reading, and ``setting``, which
    says how many workers there are.

    torch raises from its handler of SIGCHLD, so in any line of the work and not only where a batch is awaited.
    """
    try:
        yield
    except RuntimeError as error:
        if not tells_of_a_worker(error):
            raise
        reason = str(error).splitlines()[0].removeprefix("DataLoader ").rstrip(" .")
        files = _files_at(loader, reason)
        while_at = f" while it was reading {' and '.join(files)}" if files else ""
        raise WorkerEnded(
            f"expected processes that read images to the end, found one ended by the system{while_at}: {reason}; "
            f"if memory is short, lower {setting} (0: read in the main process)"
        ) from error


def _files_at(loader: DataLoader[Any], reason: str) -> list[str]:
    """Of the workers that torch names: (pid 7), or (pid(s) 7, 8)."""
    images = loader.dataset
    named = re.search(r"\(pid(?:\(s\))? ([\d, ]+)\)", reason)
    if not isinstance(images, ReadByWorkers) or named is None:
        return []
    found = [images.file_at(int(pid)) for pid in named[1].split(",")]
    return [file for file in found if file is not None]
