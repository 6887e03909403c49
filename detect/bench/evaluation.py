"""COCO's twelve metrics by our code and by pycocotools, on the same random detections.

An image has about seven objects, of classes as imbalanced as COCO's; one object in fifty is a crowd. Three detections
per object are near it, the others are anywhere in the image; two thirds of these have a class that is in the image.
Loading is not timed: pycocotools starts with its index built (its evaluate and accumulate are timed), ours with
annotations in arrays and one prediction for each image. "ours, JSON" starts from the same rows as pycocotools.
"""

from __future__ import annotations

import contextlib
import io
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detect.bench.relative_time import relative_time
from detect.bench.result_tables import COMPARISON_COLUMNS, BenchmarkTable, comparison_rows, format_cell, raw_seconds
from detect.bench.timing import Variant, time_interleaved
from detect.data.annotations import Annotations, ImageAnnotation
from detect.errors import RunError
from detect.evaluation.coco import METRIC_NAMES, CocoResult, evaluate_coco, evaluate_coco_json
from detect.evaluation.predictions import Prediction
from detect.system.numbers import largest

Metrics = dict[str, float | None]
CocoMetrics = tuple[Metrics, Metrics]  # the twelve metrics, and AP by class
HEIGHT, WIDTH = 480, 640
TOLERANCE = 1e-12


@dataclass(frozen=True)
class DataSize:
    """The size of the random data; detections: the number for each image."""

    images: int = 1000
    classes: int = 80
    detections: int = 100


def measure_evaluation(size: DataSize, repeats: int, command: str) -> BenchmarkTable:
    """Return the table of times. Raises RunError if a metric differs from pycocotools' by more than TOLERANCE."""
    annotations, predictions = make_random_data(size.images, size.classes, size.detections, seed=0)
    dataset, detection_rows = to_coco_json(annotations, predictions)
    metrics: dict[str, CocoMetrics] = {}

    def make_variant(name: str, score: Callable[[], tuple[float, CocoMetrics]]) -> Variant:
        def run(_: int) -> float:
            seconds, metrics[name] = score()
            return seconds

        return run

    def ours() -> CocoResult:
        return evaluate_coco(annotations, predictions)

    def ours_json() -> CocoResult:
        return evaluate_coco_json(dataset, detection_rows)

    variants = {
        "ours": make_variant("ours", lambda: _time_ours(ours)),
        "ours, JSON": make_variant("ours, JSON", lambda: _time_ours(ours_json)),
        "pycocotools": make_variant("pycocotools", lambda: _time_pycocotools(dataset, detection_rows)),
    }
    timings = time_interleaved(variants, repeats)
    difference = largest(largest_difference(metrics["pycocotools"], metrics[name]) for name in ("ours", "ours, JSON"))
    if difference > TOLERANCE:
        raise RunError(
            f"COCO's metrics: expected pycocotools' within {TOLERANCE:g}, found a difference of {difference:.1e}"
        )
    speedup = relative_time(timings["pycocotools"], timings["ours"])
    return BenchmarkTable(
        f"Evaluation: COCO's metrics of {size.images} images, {size.classes} classes, {len(detection_rows)} detections",
        command,
        COMPARISON_COLUMNS,
        comparison_rows(timings, "ours"),
        (
            f"speedup over pycocotools: {format_cell(speedup)}",
            f"largest difference in {len(METRIC_NAMES)} metrics and the AP of {size.classes} classes: {difference:.1e}",
            f"ours needs {_traced_peak(ours) / 2**20:.0f} MiB in addition to the data",
        ),
        raw_seconds(timings),
    )


def make_random_data(images: int, classes: int, detections: int, seed: int) -> tuple[Annotations, list[Prediction]]:
    """Return random annotations, and random predictions for them."""
    rng = np.random.default_rng(seed)
    frequencies = 1 / np.arange(1, classes + 1)
    frequencies /= frequencies.sum()
    image_annotations, predictions = [], []
    for image_id in range(1, images + 1):
        objects = int(rng.poisson(7))
        boxes, labels = _random_boxes(rng, objects), 1 + rng.choice(classes, objects, p=frequencies)
        image_annotations.append(
            ImageAnnotation(
                file=f"/{image_id:012}.jpg",
                image_id=image_id,
                size=(HEIGHT, WIDTH),
                boxes=boxes,
                labels=labels,
                difficult=np.zeros(objects, bool),
                crowd=rng.random(objects) < 0.02,
                areas=(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) * rng.uniform(0.5, 1.0, objects),
            )
        )
        near = np.repeat(np.arange(objects), 3)[:detections]
        sides = (boxes[near, 2:] - boxes[near, :2])[:, [0, 1, 0, 1]]
        moved = boxes[near] + sides * rng.normal(0.0, 0.08, (len(near), 4))
        moved = np.concatenate([moved[:, :2], np.maximum(moved[:, 2:], moved[:, :2] + 1.0)], axis=1)
        rest = detections - len(near)
        rest_labels = 1 + rng.choice(classes, rest)
        if objects:
            rest_labels = np.where(rng.random(rest) < 2 / 3, rng.choice(labels, rest), rest_labels)
        predictions.append(
            Prediction(
                file=f"/{image_id:012}.jpg",
                width=WIDTH,
                height=HEIGHT,
                boxes=np.concatenate([moved, _random_boxes(rng, rest)]),
                scores=np.concatenate([rng.beta(3, 2, len(near)), rng.beta(1, 4, rest)]).round(3),
                labels=np.concatenate([labels[near], rest_labels]),
            )
        )
    return Annotations.from_images(
        image_annotations, [f"class {label}" for label in range(1, classes + 1)]
    ), predictions


def _random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return boxes (count, 4) of 8 to 400 pixels a side, rounded to a hundredth of a pixel as in COCO's files."""
    sides = np.exp(rng.uniform(np.log(8.0), np.log(400.0), (count, 2)))
    corner = rng.random((count, 2)) * np.maximum([WIDTH, HEIGHT] - sides, 0.0)
    return np.concatenate([corner, corner + sides], axis=1).round(2)


def to_coco_json(
    annotations: Annotations, predictions: list[Prediction]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the annotations and the predictions in the format of COCO's files, with annotation ids from 1."""
    rows: list[dict[str, Any]] = []
    for index in range(len(annotations)):
        image = annotations[index]
        for box, label, area, crowd in zip(image.boxes, image.labels, image.areas, image.crowd, strict=True):
            row = {"id": len(rows) + 1, "image_id": image.image_id, "category_id": int(label)}
            rows.append({**row, "bbox": _xywh(box), "area": float(area), "iscrowd": int(crowd)})
    dataset = {
        "images": [{"id": int(image_id)} for image_id in annotations.image_ids],
        "categories": [{"id": category_id, "name": name} for category_id, name in enumerate(annotations.classes, 1)],
        "annotations": rows,
    }
    detection_rows = [
        {"image_id": int(image_id), "category_id": int(label), "bbox": _xywh(box), "score": float(score)}
        for image_id, prediction in zip(annotations.image_ids, predictions, strict=True)
        for box, label, score in zip(prediction.boxes, prediction.labels, prediction.scores, strict=True)
    ]
    return dataset, detection_rows


def _xywh(box: np.ndarray) -> list[float]:
    x1, y1, x2, y2 = box.tolist()
    return [x1, y1, x2 - x1, y2 - y1]


def _time_ours(score: Callable[[], CocoResult]) -> tuple[float, CocoMetrics]:
    start = time.perf_counter()
    scored = score()
    return time.perf_counter() - start, (scored.metrics, scored.per_class)


def _time_pycocotools(dataset: dict[str, Any], detection_rows: list[dict[str, Any]]) -> tuple[float, CocoMetrics]:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = dataset
        truth.createIndex()
        scorer = COCOeval(truth, truth.loadRes([dict(row) for row in detection_rows]), "bbox")
        start = time.perf_counter()
        scorer.evaluate()
        scorer.accumulate()
        seconds = time.perf_counter() - start
        scorer.summarize()
    metrics = {
        name: None if value == -1 else float(value) for name, value in zip(METRIC_NAMES, scorer.stats, strict=True)
    }
    per_class: Metrics = {}
    for index, category in enumerate(dataset["categories"]):
        precisions = scorer.eval["precision"][:, :, index, 0, -1]
        is_valid = precisions > -1
        per_class[category["name"]] = float(precisions[is_valid].mean()) if is_valid.any() else None
    return seconds, (metrics, per_class)


def largest_difference(a: CocoMetrics, b: CocoMetrics) -> float:
    """Return the largest difference of all metrics; infinite if a metric is missing on one side only, or is NaN."""
    pairs = [(metrics[name], others[name]) for metrics, others in zip(a, b, strict=True) for name in metrics]
    return largest(
        abs(x - y) if x is not None and y is not None else 0.0 if x is None and y is None else np.inf for x, y in pairs
    )


def _traced_peak(score: Callable[[], CocoResult]) -> int:
    """Return the peak memory of a run in bytes; this run is not timed, because tracing slows it."""
    tracemalloc.start()
    score()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak
