#!/usr/bin/env python3
"""COCO's numbers by our scorer and by pycocotools: seconds on the same detections, in one alternating run.

    tools/bench_evaluation.py [--images 5000] [--classes 80] [--detections 100] [--runs 3] [--seed 0] [--json FILE]

The data are drawn from the seed: about seven objects a photo of classes as unequal as COCO's, one in fifty a crowd; of
the detections a photo, three for each object move about it, the rest lie anywhere, two thirds of them of a class that
is in the photo. Loading is not timed: pycocotools starts with its index built (its evaluate and accumulate are timed),
ours with packed annotations and a prediction a photo (all of evaluate_coco is). "ours, JSON" is evaluate_coco_json on
the very rows that pycocotools gets. Exit status 1 where a number differs by more than 1e-12.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detect.data.annotations import Annotations, ImageAnnotation, pack
from detect.evaluation.coco import NUMBERS, CocoResult, evaluate_coco, evaluate_coco_json
from detect.evaluation.predictions import Prediction

Numbers = dict[str, float | None]
Answer = tuple[Numbers, Numbers]  # the twelve, and AP by class
HEIGHT, WIDTH = 480, 640
TOLERANCE = 1e-12


def main() -> None:
    """Print the median seconds of each scorer and the ratios."""
    options = _options()
    annotations, predictions = draw(options.images, options.classes, options.detections, options.seed)
    dataset, results = as_files(annotations, predictions)
    print(
        f"{len(annotations)} photos, {len(annotations.boxes)} objects, {len(results)} detections, seed {options.seed}"
    )

    def ours() -> CocoResult:
        return evaluate_coco(annotations, predictions)

    scorers: dict[str, Callable[[], tuple[float, Answer]]] = {
        "ours": lambda: _timed(ours),
        "ours, JSON": lambda: _timed(lambda: evaluate_coco_json(dataset, results)),
        "pycocotools": lambda: _pycocotools(dataset, results),
    }
    seconds: dict[str, list[float]] = {name: [] for name in scorers}
    answers: dict[str, Answer] = {}
    for run in range(options.runs):
        for name in sorted(scorers, reverse=bool(run % 2)):
            spent, answers[name] = scorers[name]()
            seconds[name].append(spent)
            print(f"run {run + 1}: {name:12}{spent:9.3f} s", flush=True)
    median = {name: float(np.median(spent)) for name, spent in seconds.items()}
    for name, middle in median.items():
        print(
            f"{name:12} median {middle:8.3f} s, pycocotools takes {median['pycocotools'] / middle:6.1f} times as long"
        )
    difference = max(largest_difference(answers["pycocotools"], answers[name]) for name in ("ours", "ours, JSON"))
    memory = _peak_memory(ours)
    print(f"largest difference of {len(NUMBERS)} numbers and {options.classes} classes: {difference:.1e}")
    print(f"ours needs {memory / 2**20:.0f} MiB beside the data")
    if options.json is not None:
        told = {"seconds": seconds, "median": median, "difference": difference, "peak_bytes": memory}
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    sys.exit(0 if difference <= TOLERANCE else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("images", 5000), ("classes", 80), ("detections", 100), ("runs", 3), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args()


def draw(images: int, classes: int, detections: int, seed: int) -> tuple[Annotations, list[Prediction]]:
    """A data set and a detector's answer to it."""
    rng = np.random.default_rng(seed)
    shares = 1 / np.arange(1, classes + 1)
    shares /= shares.sum()
    photos, predictions = [], []
    for place in range(1, images + 1):
        objects = int(rng.poisson(7))
        boxes, labels = _boxes(rng, objects), 1 + rng.choice(classes, objects, p=shares)
        photos.append(
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
    return pack(photos, [f"class {label}" for label in range(1, classes + 1)]), predictions


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """Boxes (count, 4) of 8 to 400 pixels a side, to a hundredth of a pixel as in COCO's files."""
    sides = np.exp(rng.uniform(np.log(8.0), np.log(400.0), (count, 2)))
    corner = rng.random((count, 2)) * np.maximum([WIDTH, HEIGHT] - sides, 0.0)
    return np.concatenate([corner, corner + sides], axis=1).round(2)


def as_files(annotations: Annotations, predictions: list[Prediction]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
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


def _timed(score: Callable[[], CocoResult]) -> tuple[float, Answer]:
    start = time.perf_counter()
    result = score()
    return time.perf_counter() - start, (result.numbers, result.per_class)


def _pycocotools(dataset: dict[str, Any], results: list[dict[str, Any]]) -> tuple[float, Answer]:
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
    numbers = {name: None if value == -1 else float(value) for name, value in zip(NUMBERS, scorer.stats, strict=True)}
    per_class: Numbers = {}
    for place, row in enumerate(dataset["categories"]):
        values = scorer.eval["precision"][:, :, place, 0, -1]
        per_class[row["name"]] = float(values[values > -1].mean()) if (values > -1).any() else None
    return spent, (numbers, per_class)


def largest_difference(a: Answer, b: Answer) -> float:
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


if __name__ == "__main__":
    main()
