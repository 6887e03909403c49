"""Part 8: traces and explanations on the device."""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Iterator

import numpy as np

from detect.config import Precision
from detect.data.images import read_image
from detect.explain.attribution.explain_detections import DetectionQuery, explain_images
from detect.explain.attribution.methods import METHODS
from detect.explain.attribution.options import MethodOptions, no_progress
from detect.explain.trace.ground_truth import ImageGroundTruth
from detect.explain.trace.write_trace import TraceOptions, trace_images
from detect.inference.load import load
from tools import check_trace
from tools.cuda_checks.inputs import drawn_files, trained
from tools.cuda_checks.records import Observation, Setup


def traces(setup: Setup) -> Iterator[Observation]:
    """Write the traces of two images."""
    files, out = drawn_files(setup, 2), setup.work / "traces"
    predictor = load(trained(setup), setup.device)
    truth = ImageGroundTruth({}, "voc07")
    for file in files:
        started = time.perf_counter()
        with no_progress("", 1) as progress:
            unreadable = trace_images(predictor, [file], out, TraceOptions(0.0, 3), truth, None, progress)
        seconds = time.perf_counter() - started
        yield Observation(f"trace of an image: {seconds:.2f} s", not unreadable, {"seconds": seconds})
    written = [json.loads(file.read_text(encoding="utf-8")) for file in out.rglob("trace.json")]
    yield Observation(
        f"{len(written)} traces with {sum(len(each['detections']) for each in written)} detections",
        len(written) == len(files),
    )


def bits_of_a_trace(setup: Setup) -> Iterator[Observation]:
    """Run tools/check_trace.py: are the detections that are computed again from the trace the same bits?"""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = check_trace.main([str(trained(setup)), *map(str, drawn_files(setup, 10)), "--number", "300"])
    yield Observation(f"{printed.getvalue().strip()} (exit status {status})")


def methods_in_fp32(setup: Setup) -> Iterator[Observation]:
    """Explain a detection by every method in fp32."""
    yield from _methods(setup, "fp32")


def methods_in_bf16(setup: Setup) -> Iterator[Observation]:
    """Explain a detection by every method in bf16."""
    yield from _methods(setup, "bf16")


def _methods(setup: Setup, precision: Precision) -> Iterator[Observation]:
    predictor = load(trained(setup), setup.device, precision)
    file = max(drawn_files(setup, 10), key=lambda image: len(predictor.predict(image, 0.0)))
    labels = frozenset(range(1, len(predictor.classes) + 1))
    options, height = MethodOptions(no_progress, masks=20 if setup.small else 200), read_image(file).shape[0]
    for method in METHODS:
        out = setup.work / f"explained-{precision}-{method}"
        query = DetectionQuery(method, "score", "max", 0.0, 1, labels, rank=1)
        started = time.perf_counter()
        explained = explain_images(predictor, [file], out, query, options, None, lambda _: None)
        seconds = time.perf_counter() - started
        heats = [np.load(map_file) for map_file in out.rglob("*.npy")]
        finite = all(bool(np.isfinite(heat).all()) and len(heat) == height for heat in heats)
        passed = finite and explained.num_explained == len(heats) == 1
        text = f"{method}, {precision}: {seconds:.2f} s, {len(heats)} maps"
        yield Observation(text, passed, {"method": method, "precision": precision, "seconds": seconds})
