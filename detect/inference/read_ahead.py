"""Reads images one after the other, each while the one before it is in use: at most two are in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from detect.data.images import read_image
from detect.errors import UnreadableImage

Value = TypeVar("Value")
ReadResult = np.ndarray | UnreadableImage  # (H, W, 3) uint8 RGB, or the reason why it cannot be read


def read_ahead(files: Iterable[str]) -> Iterator[ReadResult]:
    """Yield the image of each file, or the error of reading it; a thread reads the next one in the meantime."""

    def read_or_error(file: str) -> ReadResult:
        try:
            return read_image(file)
        except UnreadableImage as error:
            return error

    return compute_ahead(map(read_or_error, files))


def compute_ahead(values: Iterable[Value]) -> Iterator[Value]:
    """Yield the values; a thread computes the next one while the caller uses the one before."""
    end, iterator = object(), iter(values)
    with ThreadPoolExecutor(1) as pool:
        value = pool.submit(next, iterator, end).result()
        while value is not end:
            upcoming = pool.submit(next, iterator, end)
            yield value  # type: ignore[misc]  # it is not the end
            value = upcoming.result()
