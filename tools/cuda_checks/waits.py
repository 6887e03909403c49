"""Part 4: how often the host waits for the GPU in a step and in a detection, by line, as torch warns of it."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import torch

import detect
from detect.bench.random_model import make_bench_model
from detect.bench.timing import wait_for_gpu
from detect.training.setup import build_train_state
from tools.cuda_checks.inputs import SMALL_NETWORK, make_batch, random_images, run_steps
from tools.cuda_checks.records import Observation, Setup

PACKAGE = f"{Path(detect.__file__).parent}/"
MAX_STEP, MAX_DETECTION = {2: 42, 8: 60}, {8: 50}  # by images; what the tests on the emulated device hold, or less
LINES = 12  # of the table


def waits_of_two_images(setup: Setup) -> Iterator[Observation]:
    """Count the waits with two images."""
    yield from _waits(setup, 2)


def waits_of_eight_images(setup: Setup) -> Iterator[Observation]:
    """Count the waits with eight images."""
    yield from _waits(setup, 8)


def _waits(setup: Setup, count: int) -> Iterator[Observation]:
    """Count the waits of the third step and of the second detection: what is copied once does not count."""
    if setup.device != "cuda":
        yield Observation(f"{count} images: waits are not counted on a CPU")
        return
    images = random_images(count)
    model = make_bench_model(SMALL_NETWORK, 10, images)
    compute = setup.compute()
    state = build_train_state(model.config, model.detector().to(compute.device))
    batch = make_batch(model.preprocess, images, 10)
    run_steps(model.config, state, compute, [batch], 2)
    wait_for_gpu()
    with count_waits() as waits:
        run_steps(model.config, state, compute, [batch], 1)
    yield from _describe(f"a step of {count} images", waits, MAX_STEP.get(count))
    detector = state.detector.eval()
    with torch.no_grad():
        detector.detect(batch.images.to(compute.device))
        wait_for_gpu()
        with count_waits() as waits:
            detections = detector.detect(batch.images.to(compute.device))
            _ = [image.boxes.shape for image in detections]
    yield from _describe(f"a detection of {count} images", waits, MAX_DETECTION.get(count))


def _describe(what: str, waits: Counter[str], limit: int | None) -> Iterator[Observation]:
    for line in [line for line in waits if line.startswith("training/state.py")]:
        del waits[line]  # the means of the losses, which a training reads every train.log_every steps
    total = waits.total()
    expected = "" if limit is None else f", at most {limit} expected"
    yield Observation(
        f"{what}: {total} waits{expected}", limit is None or total <= limit, {"what": what, "waits": dict(waits)}
    )
    for line, count in waits.most_common(LINES):
        yield Observation(f"{count} at {line}")


@contextmanager
def count_waits() -> Iterator[Counter[str]]:
    """Count the warnings of torch's debug mode for synchronizations, at the innermost line of detect.

    Waits of backward passes run in a thread of C++ without a line.
    """
    waits: Counter[str] = Counter()

    def show(message: Any, *_: Any, **__: Any) -> None:
        if "synchroniz" in str(message):
            waits[_line()] += 1

    with warnings.catch_warnings(), mock.patch.object(warnings, "showwarning", show):
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield waits
        finally:
            torch.cuda.set_sync_debug_mode("default")


def _line() -> str:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(PACKAGE):
            return f"{file.removeprefix(PACKAGE)}:{frame.f_lineno}"
        frame = frame.f_back
    return "outside"
