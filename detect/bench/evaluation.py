"""COCO's twelve numbers by our scorer and by pycocotools, on the same drawn detections.

About seven objects an image of classes as unequal as COCO's, one in fifty a crowd; of the detections an image, three
for each object move about it, the rest lie anywhere, two thirds of them of a class that is in the image. Loading is not
timed: pycocotools starts with its index built (its evaluate and accumulate are timed), ours with packed annotations and
a prediction an image. "ours, JSON" starts from the very rows that pycocotools gets.
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

from detect.bench.result_tables import COMPARISON_COLUMNS, Table, comparison_rows, format_ratio, raw_seconds
from detect.bench.timing import Contender, time_interleaved
from detect.data.annotations import Annotations, ImageAnnotation
from detect.errors import RunError
from detect.evaluation.coco import METRIC_NAMES, CocoResult, evaluate_coco, evaluate_coco_json
from detect.evaluation.predictions import Prediction

Metrics = dict[str, float | None]
CocoMetrics = tuple[Metrics, Metrics]  # the twelve, and AP by class
HEIGHT, WIDTH = 480, 640
TOLERANCE = 1e-12


@dataclass(frozen=True)
class DataSize:
    """Of the drawn data: images, classes, detections an image."""

    images: int = 1000
    classes: int = 80
    detections: int = 100


def measure_evaluation(size: DataSize, turns: int, command: str, seed: int = 0) -> Table:
    """WorkError where a number differs from pycocotools' by more than TOLERANCE."""
    annotations, predictions = make_random_data(size.images, size.classes, size.detections, seed)
    dataset, results = to_coco_json(annotations, predictions)
    answers: dict[str, CocoMetrics] = {}

    def scorer(name: str, score: Callable[[], tuple[float, CocoMetrics]]) -> Contender:
        def turn(_: int) -> float:
            spent, answers[name] = score()
            return spent

        return turn

    def ours() -> CocoResult:
        return evaluate_coco(annotations, predictions)

    contenders = {
        "ours": scorer("ours", lambda: _timed(ours)),
        "ours, JSON": scorer("ours, JSON", lambda: _timed(lambda: evaluate_coco_json(dataset, results))),
        "pycocotools": scorer("pycocotools", lambda: _pycocotools(dataset, results)),
    }
    timings = time_interleaved(contenders, turns)
    difference = max(largest_difference(answers["pycocotools"], answers[name]) for name in ("ours", "ours, JSON"))
    if difference > TOLERANCE:
        raise RunError(f"COCO's numbers: expected pycocotools' within {TOLERANCE:g}, found {difference:.1e} off")
    times = timings["pycocotools"].median / timings["ours"].median
    return Table(
        f"Evaluation: COCO's numbers of {size.images} images, {size.classes} classes, {len(results)} detections",
        command,
        COMPARISON_COLUMNS,
        comparison_rows(timings, "ours"),
        (
            f"pycocotools takes {format_ratio(times)} times as long",
            f"largest difference of {len(METRIC_NAMES)} numbers and {size.classes} classes: {difference:.1e}",
            f"ours needs {_peak_memory(ours) / 2**20:.0f} MiB beside the data",
        ),
        raw_seconds(timings),
    )


def make_random_data(images: int, classes: int, detections: int, seed: int) -> tuple[Annotations, list[Prediction]]:
    """A data set and a detector's answer to it."""
    rng = np.random.default_rng(seed)
    shares = 1 / np.arange(1, classes + 1)
    shares /= shares.sum()
    image_files, predictions = [], []
    for place in range(1, images + 1):
        objects = int(rng.poisson(7))
        boxes, labels = _boxes(rng, objects), 1 + rng.choice(classes, objects, p=shares)
        image_files.append(
            ImageAnnotation(
                file=f"/{place:012}.jpg",
                image_id=place,
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
        elsewhere = 1 + rng.choice(classes, rest)
        if objects:
            elsewhere = np.where(rng.random(rest) < 2 / 3, rng.choice(labels, rest), elsewhere)
        predictions.append(
            Prediction(
                file=f"/{place:012}.jpg",
                width=WIDTH,
                height=HEIGHT,
                boxes=np.concatenate([moved, _boxes(rng, rest)]),
                scores=np.concatenate([rng.beta(3, 2, len(near)), rng.beta(1, 4, rest)]).round(3),
                labels=np.concatenate([labels[near], elsewhere]),
            )
        )
    return Annotations.from_images(image_files, [f"class {label}" for label in range(1, classes + 1)]), predictions


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """Boxes (count, 4) of 8 to 400 pixels a side, to a hundredth of a pixel as in COCO's files."""
    sides = np.exp(rng.uniform(np.log(8.0), np.log(400.0), (count, 2)))
    corner = rng.random((count, 2)) * np.maximum([WIDTH, HEIGHT] - sides, 0.0)
    return np.concatenate([corner, corner + sides], axis=1).round(2)


def to_coco_json(annotations: Annotations, predictions: list[Prediction]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The same as COCO's files hold them, annotation ids from 1."""
    rows: list[dict[str, Any]] = []
    for place in range(len(annotations)):
        image = annotations[place]
        for box, label, area, crowd in zip(image.boxes, image.labels, image.areas, image.crowd, strict=True):
            row = {"id": len(rows) + 1, "image_id": image.image_id, "category_id": int(label)}
            rows.append({**row, "bbox": _xywh(box), "area": float(area), "iscrowd": int(crowd)})
    dataset = {
        "images": [{"id": int(image_id)} for image_id in annotations.image_ids],
        "categories": [{"id": place, "name": name} for place, name in enumerate(annotations.classes, 1)],
        "annotations": rows,
    }
    results = [
        {"image_id": int(image_id), "category_id": int(label), "bbox": _xywh(box), "score": float(score)}
        for image_id, prediction in zip(annotations.image_ids, predictions, strict=True)
        for box, label, score in zip(prediction.boxes, prediction.labels, prediction.scores, strict=True)
    ]
    return dataset, results


def _xywh(box: np.ndarray) -> list[float]:
    x1, y1, x2, y2 = box.tolist()
    return [x1, y1, x2 - x1, y2 - y1]


def _timed(score: Callable[[], CocoResult]) -> tuple[float, CocoMetrics]:
    start = time.perf_counter()
    result = score()
    return time.perf_counter() - start, (result.metrics, result.per_class)


def _pycocotools(dataset: dict[str, Any], results: list[dict[str, Any]]) -> tuple[float, CocoMetrics]:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = dataset
        truth.createIndex()
        scorer = COCOeval(truth, truth.loadRes([dict(row) for row in results]), "bbox")
        start = time.perf_counter()
        scorer.evaluate()
        scorer.accumulate()
        spent = time.perf_counter() - start
        scorer.summarize()
    numbers = {name: None if value == -1 else float(value) for name, value in zip(METRIC_NAMES, scorer.stats, strict=True)}
    per_class: Metrics = {}
    for place, row in enumerate(dataset["categories"]):
        values = scorer.eval["precision"][:, :, place, 0, -1]
        per_class[row["name"]] = float(values[values > -1].mean()) if (values > -1).any() else None
    return spent, (numbers, per_class)


def largest_difference(a: CocoMetrics, b: CocoMetrics) -> float:
    """Of all numbers; infinite where one has what the other has not."""
    pairs = [(one[name], other[name]) for one, other in zip(a, b, strict=True) for name in one]
    return max(
        abs(x - y) if x is not None and y is not None else 0.0 if x is None and y is None else np.inf for x, y in pairs
    )


def _peak_memory(score: Callable[[], CocoResult]) -> int:
    """Bytes that a run holds at most; tracing slows it, so that this run is not a timed one."""
    tracemalloc.start()
    score()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak
