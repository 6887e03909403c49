"""What a new process takes until its first detections, and how much memory: a row for each variant."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from detect.bench.model_files import ModelFile
from detect.bench.result_tables import BenchmarkTable
from detect.bench.timing import run_in_process
from detect.system.cpu import tune_malloc

TURNS = 3  # processes of each variant
Detect = Callable[[Path], object]  # detects in an image file
Start = Callable[[], Detect]  # loads a model; a function of a module, which another process can import


@dataclass(frozen=True)
class StartTimes:
    """The seconds in which a process loads a model, and those of its first image from file to detections."""

    load: float
    first_image: float


def start_model(model: ModelFile) -> Detect:
    """Load a MODEL, and return the function that detects in an image with it."""
    predictor = model.load()
    return lambda image: predictor.predict(image, 0.0)


def process_table(variants: Mapping[str, Start], images: Sequence[Path], command: str) -> BenchmarkTable:
    """Return the table of new processes, in alternating order, that load a model and detect in images.

    Memory is compared with that of the first variant.
    """
    starts: dict[str, list[StartTimes]] = {name: [] for name in variants}
    peaks = dict.fromkeys(variants, 0)
    for turn in range(TURNS):
        for name in sorted(variants, key=list(variants).index, reverse=bool(turn % 2)):
            process = run_in_process(start_and_detect, variants[name], images)
            starts[name].append(process.output)
            peaks[name] = max(peaks[name], process.peak_memory)
    reference = next(iter(variants))
    rows = tuple(
        (
            name,
            median(times.load for times in starts[name]),
            median(times.first_image for times in starts[name]),
            peaks[name] / 2**20,
            peaks[name] / peaks[reference],
        )
        for name in variants
    )
    return BenchmarkTable(
        f"Processes that load a model and detect in {len(images)} images: medians of {TURNS}, highest memory",
        command,
        ("variant", "load s", "first image s", "MiB", f"MiB relative to {reference}"),
        rows,
    )


def start_and_detect(start: Start, images: Sequence[Path]) -> StartTimes:
    """Load a model and detect in images, in a process whose memory is measured."""
    tune_malloc()
    times = [time.perf_counter()]
    detect = start()
    for image in images:
        times.append(time.perf_counter())
        detect(image)
    times.append(time.perf_counter())
    return StartTimes(load=times[1] - times[0], first_image=times[2] - times[1])
