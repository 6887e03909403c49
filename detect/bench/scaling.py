"""How the time of an image grows: with its size, the proposals, the images of a batch, the classes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from detect.bench.random_model import make_bench_model
from detect.bench.result_tables import Cell, Table, raw_seconds
from detect.bench.timing import Contender, timed, time_interleaved
from detect.models.backbones.frozen_norm import optimize_for_inference
from detect.models.detector import Detector
from detect.types import Images

BASE_SETTINGS = {"shorter side": 400, "proposals": 300, "images a batch": 1, "classes": 20}
VALUES = {
    "shorter side": (200, 400, 600, 800),
    "proposals": (100, 300, 1000),
    "images a batch": (1, 2, 4),
    "classes": (20, 80, 365),
}


def measure_scaling(images: Sequence[np.ndarray], turns: int, command: str) -> Table:
    """Faster R-CNN R18-FPN in fp32; one of BASE's numbers is changed at a time. Seconds are of one image."""
    rows: list[tuple[Cell, ...]] = []
    seconds: dict[str, tuple[float, ...]] = {}
    for what, values in VALUES.items():
        timings = time_interleaved({f"{what} {value}": _contender(BASE_SETTINGS | {what: value}, images) for value in values}, turns)
        images_each = {value: value if what == "images a batch" else 1 for value in values}
        each = {value: timings[f"{what} {value}"].median / images_each[value] for value in values}
        rows += [(what, value, spent, f"{spent / each[BASE_SETTINGS[what]]:.2f}") for value, spent in each.items()]
        seconds |= raw_seconds(timings)
    told = ", ".join(f"{name} {value}" for name, value in BASE_SETTINGS.items())
    return Table(
        "How time grows: Faster R-CNN R18-FPN, fp32",
        command,
        ("what", "value", "s an image", "of the base's"),
        tuple(rows),
        (f"the base: {told}",),
        seconds,
    )


def _contender(numbers: dict[str, int], image_files: Sequence[np.ndarray]) -> Contender:
    side = numbers["shorter side"]
    overrides = [
        "model.backbone.name=resnet18",
        f"data.min_size={side}",
        f"data.max_size={side * 2}",
        f"model.rpn.post_nms_top_n_test={numbers['proposals']}",
    ]
    subject = make_bench_model(overrides, numbers["classes"], image_files)
    detector, rule, batch = subject.detector().eval(), subject.preprocess, numbers["images a batch"]
    optimize_for_inference(detector)
    chosen = [image_files[place % len(image_files)] for place in range(batch)]
    images = rule.batch([rule.normalize(rule.resize(image)) for image in chosen], range(batch))
    return timed(partial(_detect, detector, images))


@torch.inference_mode()
def _detect(detector: Detector, images: Images) -> None:
    detector.detect(images)
