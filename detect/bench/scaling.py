"""Measures how the time per image scales with its size, the proposals, the batch size and the classes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from detect.bench.random_model import make_bench_model
from detect.bench.result_tables import BenchmarkTable, Cell, comparison_rows, raw_seconds
from detect.bench.timing import Timing, Variant, time_interleaved, timed
from detect.models.backbones.frozen_norm import optimize_for_inference
from detect.models.detector import Detector
from detect.types import Images

BASE_SETTINGS = {"shorter side": 400, "proposals": 300, "batch size": 1, "classes": 20}
SWEEP = {
    "shorter side": (200, 400, 600, 800),
    "proposals": (100, 300, 1000),
    "batch size": (1, 2, 4),
    "classes": (20, 80, 365),
}


def measure_scaling(images: Sequence[np.ndarray], repeats: int, command: str) -> BenchmarkTable:
    """Return the seconds per image of Faster R-CNN R18-FPN in fp32, with one of BASE_SETTINGS changed at a time."""
    rows: list[tuple[Cell, ...]] = []
    all_seconds: dict[str, tuple[float, ...]] = {}
    for setting, values in SWEEP.items():
        variants = {f"{setting} {value}": _make_variant(BASE_SETTINGS | {setting: value}, images) for value in values}
        timings = time_interleaved(variants, repeats)
        batch_sizes = {value: value if setting == "batch size" else BASE_SETTINGS["batch size"] for value in values}
        per_image = {value: _per_image(timings[f"{setting} {value}"], batch_sizes[value]) for value in values}
        rows += [(setting, *row) for row in comparison_rows(per_image, BASE_SETTINGS[setting])]
        all_seconds |= raw_seconds(timings)
    base = ", ".join(f"{name} {value}" for name, value in BASE_SETTINGS.items())
    return BenchmarkTable(
        "Scaling of the time per image: Faster R-CNN R18-FPN, fp32",
        command,
        ("setting", "value", "median s per image", "min s", "max s", "relative time"),
        tuple(rows),
        (f"base settings: {base}",),
        all_seconds,
    )


def _per_image(timing: Timing, batch_size: int) -> Timing:
    return Timing(tuple(seconds / batch_size for seconds in timing.seconds))


def _make_variant(settings: dict[str, int], rgb_images: Sequence[np.ndarray]) -> Variant:
    side = settings["shorter side"]
    overrides = [
        "model.backbone.name=resnet18",
        f"data.min_size={side}",
        f"data.max_size={side * 2}",
        f"model.rpn.post_nms_top_n_test={settings['proposals']}",
    ]
    bench_model = make_bench_model(overrides, settings["classes"], rgb_images)
    detector, preprocess = bench_model.detector().eval(), bench_model.preprocess
    batch_size = settings["batch size"]
    optimize_for_inference(detector)
    rgb_batch = [rgb_images[index % len(rgb_images)] for index in range(batch_size)]
    batch = preprocess.batch([preprocess.normalize(preprocess.resize(rgb)) for rgb in rgb_batch], range(batch_size))
    return timed(partial(_detect, detector, batch))


@torch.inference_mode()
def _detect(detector: Detector, batch: Images) -> None:
    detector.detect(batch)
