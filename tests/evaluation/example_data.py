"""Small example data sets with detections, by hand or random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from detect.data.annotations import Annotations, ImageAnnotation
from detect.evaluation.predictions import Prediction

Truth = tuple[tuple[float, float, float, float], int, str]  # box, label, "" or "difficult" or "crowd"
Found = tuple[tuple[float, float, float, float], int, float]  # box, label, score
CLASSES = ("cat", "dog", "zebra")


def image(index: int, truth: Sequence[Truth]) -> ImageAnnotation:
    boxes = np.array([box for box, _, _ in truth], float).reshape(-1, 4)
    return ImageAnnotation(
        file=f"/photos/{index:03}.jpg",
        image_id=10 * index,
        size=(400, 300),
        boxes=boxes,
        labels=np.array([label for _, label, _ in truth], np.int64),
        difficult=np.array([kind == "difficult" for _, _, kind in truth], bool),
        crowd=np.array([kind == "crowd" for _, _, kind in truth], bool),
        areas=(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) * 0.9,
    )


def prediction(index: int, found: Sequence[Found]) -> Prediction:
    return Prediction(
        file=f"/photos/{index:03}.jpg",
        width=300,
        height=400,
        boxes=np.array([box for box, _, _ in found], float).reshape(-1, 4),
        scores=np.array([score for _, _, score in found], float),
        labels=np.array([label for _, label, _ in found], np.int64),
    )


def data_set(images: Sequence[tuple[Sequence[Truth], Sequence[Found]]]) -> tuple[Annotations, list[Prediction]]:
    """Return annotations and predictions; category ids and image ids have gaps."""
    truth = Annotations.from_images(
        [image(index, t) for index, (t, _) in enumerate(images, 1)], CLASSES, category_ids=[3, 7, 90]
    )
    return truth, [prediction(index, f) for index, (_, f) in enumerate(images, 1)]


# Few places, sides and scores, so that overlaps, duplicates and ties of IoU and score are common.
_corner, _side = st.integers(0, 6).map(lambda n: 20.0 * n), st.sampled_from([20.0, 30.0, 40.0, 80.0, 120.0])
_box = st.builds(lambda x, y, w, h: (x, y, x + w, y + h), _corner, _corner, _side, _side)
_label = st.sampled_from([1, 1, 1, 2])  # zebra has neither truth nor detections
_truth = st.tuples(_box, _label, st.sampled_from(["", "", "", "difficult", "crowd"]))
_score = st.sampled_from([0.1, 0.25, 0.5, 0.5, 0.75, 0.9])


def _shifted(at: tuple[tuple[float, float, float, float], int], dx: float, score: float) -> Found:
    (x1, y1, x2, y2), label = at
    return (x1 + dx, y1, x2, y2), label, score


@st.composite
def random_image(draw: st.DrawFn) -> tuple[list[Truth], list[Found]]:
    truth = draw(st.lists(_truth, max_size=6))
    parse_page = [(box, label) for box, label, _ in truth] or [((0.0, 0.0, 20.0, 20.0), 1)]
    hit = st.builds(_shifted, st.sampled_from(parse_page), st.sampled_from([0.0, 0.0, 5.0, -7.0, 10.0]), _score)
    miss = st.tuples(_box, _label, _score)
    return truth, draw(st.lists(hit | hit | miss, max_size=10))


random_data_set = st.lists(random_image(), max_size=3)


def random_scored_data_set(rng: np.random.Generator, unit: float) -> tuple[Annotations, list[Prediction]]:
    """Everything that scorers disagree about, often: ties of score and of IoU, IoUs of exactly 0.5 and 0.75, areas at
    the very end of a range, crowds, difficult objects, images without objects or detections, ids in no order.

    unit: corners lie on multiples of it; on multiples of 0.25 every sum and product is exact.
    """
    count = int(rng.integers(0, 5))
    ids = rng.permutation(np.arange(5, 5 + count))
    images, predictions = [], []
    for index in range(count):
        truth = _random_truth(rng, unit)
        annotated = image(index, truth)
        areas = annotated.areas / 0.9 if rng.random() < 0.5 else annotated.areas
        images.append(replace(annotated, image_id=int(ids[index]), areas=areas))
        predictions.append(prediction(index, _random_detections(rng, unit, truth)))
    return Annotations.from_images(images, CLASSES, category_ids=[3, 7, 90]), predictions


def _random_truth(rng: np.random.Generator, unit: float) -> list[Truth]:
    """Often the second object is the first one moved by nothing or half its width: what lies between overlaps both."""
    kinds = rng.choice(["", "", "", "difficult", "crowd"], 6).tolist()
    boxes = [_random_box(rng, unit) for _ in kinds]
    labels = rng.choice([1, 1, 2], len(kinds)).tolist()
    if rng.random() < 0.7:
        (x1, y1, x2, y2), labels[1] = boxes[0], labels[0]
        dx = float(rng.choice([0.0, (x2 - x1) / 2]))
        boxes[1] = (x1 + dx, y1, x2 + dx, y2)
    rows = list(zip(boxes, labels, kinds, strict=True))
    return rows[: rng.choice([0, 1, 2, 3, 4, 6])]


def _random_box(rng: np.random.Generator, unit: float) -> tuple[float, float, float, float]:
    x, y = (rng.integers(0, 5, 2) * 16.0 + rng.integers(0, 4, 2) * unit).tolist()
    w, h = rng.choice([16.0, 32.0, 32.0, 48.0, 96.0, 96.0, 120.0], 2).tolist()
    return x, y, x + w, y + h


def _random_detections(rng: np.random.Generator, unit: float, truth: list[Truth]) -> list[Found]:
    found: list[Found] = []
    if len(truth) > 1 and truth[1][0] != truth[0][0] and rng.random() < 0.7:
        (x1, y1, x2, y2), label, _ = truth[0]
        middle = (x1 + (x2 - x1) / 4, y1, x2 + (x2 - x1) / 4, y2)
        found = [(middle, label, 0.9), (truth[int(rng.integers(2))][0], label, 0.8)]
    few = rng.random() < 0.7
    for _ in range(rng.choice([0, 1, 3, 8, 14])):
        score = float(rng.choice([0.1, 0.25, 0.5, 0.5, 0.75])) if few else float(rng.random())
        if not truth or rng.random() < 0.3:
            found.append((_random_box(rng, unit), int(rng.choice([1, 2, 3])), score))
            continue
        (x1, y1, x2, y2), label, _ = truth[rng.integers(len(truth))]
        w, h = x2 - x1, y2 - y1
        dx = float(rng.choice([0.0, w / 3, -w / 3, w / 4, -w / 4, 8.0, -8.0]))  # a third: an IoU of 0.5
        bottom = float(rng.choice([y2, y2, y2 - h / 4, y2 - h / 2]))  # a quarter less: 0.75
        found.append(((x1 + dx, y1, x2 + dx, bottom), label, score))
    return found
