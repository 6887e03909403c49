"""Measures the seconds per image of selective search in each mode."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from detect.bench.result_tables import BenchmarkTable, raw_seconds
from detect.bench.timing import time_interleaved, timed_on
from detect.proposals.selective_search import MODES, selective_search


def measure_search(images: Sequence[np.ndarray], repeats: int, command: str) -> BenchmarkTable:
    """Return the table of selective search on all cores, with one image in each repeat.

    ``tools/bench_selective_search.py`` compares with OpenCV's, which needs an environment of its own.
    """
    variants = {mode: timed_on(images, partial(selective_search, mode=mode)) for mode in MODES}
    timings = time_interleaved(variants, repeats)
    counts = {mode: np.mean([len(selective_search(image, mode)) for image in images]) for mode in MODES}
    return BenchmarkTable(
        "Selective search",
        command,
        ("mode", "median s", "min s", "max s", "boxes per image"),
        tuple((mode, timing.median, *timing.min_max, round(float(counts[mode]))) for mode, timing in timings.items()),
        (),
        raw_seconds(timings),
    )
