"""Parallel work on a CPU: each core runs whole chunks, in place of all cores sharing each operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

Chunk = TypeVar("Chunk")
CACHE_ROWS = (
    16  # the maps of so many crops of 112 pixels fit a core's cache; with 8 or 64 the time is 1.4 times as long
)


def parallel_map(function: Callable[[Chunk], Tensor], chunks: Sequence[Chunk], device: torch.device) -> list[Tensor]:
    """Return ``function`` of each chunk, in order; each core runs one chunk after the other.

    Operations on small maps spend more time on starting all cores and on waiting for the last one than on arithmetic,
    and their maps leave the cache between two operations. On a GPU, and where gradients are recorded (in one thread),
    all chunks run one after the other.
    """
    num_workers = min(torch.get_num_threads(), len(chunks))
    if device.type != "cpu" or torch.is_grad_enabled() or num_workers < 2:
        return [function(chunk) for chunk in chunks]
    with ThreadPoolExecutor(num_workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(_in_same_mode(function), chunks))


def rows_per_chunk(max_rows: int, device: torch.device) -> int:
    """Return the number of rows for a chunk of ``parallel_map`` where at most ``max_rows`` may run at a time."""
    if device.type != "cpu" or torch.is_grad_enabled():
        return max_rows
    return max(1, min(CACHE_ROWS, max_rows // torch.get_num_threads()))


def _in_same_mode(function: Callable[[Chunk], Tensor]) -> Callable[[Chunk], Tensor]:
    """Wrap the function so that it runs in the caller's inference mode and precision, which are set per thread."""
    inference, autocast = torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")
    dtype = torch.get_autocast_dtype("cpu")

    def run(chunk: Chunk) -> Tensor:
        with torch.inference_mode(inference), torch.set_grad_enabled(False), torch.autocast("cpu", dtype, autocast):
            return function(chunk)

    return run
