"""Selective search: seconds an image in each mode."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from detect.bench.result_tables import Table, raw_seconds
from detect.bench.timing import timed_on, time_interleaved
from detect.proposals.selective_search import MODES, selective_search


def measure_search(images: Sequence[np.ndarray], turns: int, command: str) -> Table:
    """On all cores, an image a turn. ``tools/bench_selective_search.py`` compares with OpenCV's, which needs an
    environment of its own.
    """
    contenders = {mode: timed_on(images, partial(selective_search, mode=mode)) for mode in MODES}
    timings = time_interleaved(contenders, turns)
    counts = {mode: np.mean([len(selective_search(image, mode)) for image in images]) for mode in MODES}
    return Table(
        "Selective search",
        command,
        ("mode", "median s", "quickest s", "slowest s", "boxes an image"),
        tuple((mode, each.median, *each.min_max, round(float(counts[mode]))) for mode, each in timings.items()),
        (),
        raw_seconds(timings),
    )
