from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.data.annotations import ImageAnnotation
from detect.evaluation.analysis.confusion import confusion
from detect.evaluation.predictions import Prediction
from tests.evaluation.analysis.example_untied_data import untied_data_set
from tests.evaluation.analysis.test_matches import iou
from tests.evaluation.example_data import data_set

A, B, FAR = (0.0, 0.0, 100.0, 100.0), (200.0, 0.0, 300.0, 100.0), (0.0, 200.0, 50.0, 250.0)
TALL, WIDER = (0.0, 0.0, 100.0, 140.0), (0.0, 0.0, 100.0, 60.0)
HALF, INNER = (0.0, 0.0, 100.0, 50.0), (0.0, 0.0, 20.0, 20.0)
NOTHING, CAT, DOG = 0, 1, 2

# (truth, found), {(label, found as): how often}
TABLE = {
    "nothing": ([], [], {}),
    "nothing to find": ([], [(A, CAT, 0.9)], {(NOTHING, CAT): 1}),
    "nothing found": ([(A, CAT, "")], [], {(CAT, NOTHING): 1}),
    "found": ([(A, CAT, "")], [(A, CAT, 0.5)], {(CAT, CAT): 1}),
    "scored too low": ([(A, CAT, "")], [(A, CAT, 0.49)], {(CAT, NOTHING): 1}),
    "another class": ([(A, CAT, "")], [(HALF, DOG, 0.9)], {(CAT, DOG): 1}),
    "too far": ([(A, CAT, "")], [(FAR, DOG, 0.9)], {(CAT, NOTHING): 1, (NOTHING, DOG): 1}),
    "the best-scored chooses first": (
        [(A, CAT, "")],
        [(A, CAT, 0.8), (HALF, DOG, 0.9)],
        {(CAT, DOG): 1, (NOTHING, CAT): 1},
    ),
    "on a difficult box": ([(A, CAT, "difficult")], [(A, CAT, 0.9)], {}),
    "in a crowd of its own": ([(A, CAT, "crowd")], [(INNER, CAT, 0.9), (INNER, CAT, 0.8)], {}),
    "a difficult object over one of another class, both found": (
        [(A, CAT, "difficult"), (TALL, DOG, "")],
        [(A, CAT, 0.95), (TALL, DOG, 0.9)],
        {(DOG, DOG): 1},
    ),
    "a difficult object over one of another class, the difficult one found": (
        [(A, CAT, "difficult"), (TALL, DOG, "")],
        [(A, CAT, 0.95)],
        {(DOG, NOTHING): 1},
    ),
    "a crowd over an object of another class, both found": (
        [(A, CAT, "crowd"), (HALF, DOG, "")],
        [(WIDER, CAT, 0.95), (HALF, DOG, 0.9)],
        {(DOG, DOG): 1},
    ),
    "in a crowd of others": ([(A, CAT, "crowd")], [(INNER, DOG, 0.9)], {(NOTHING, DOG): 1}),
}


@pytest.mark.parametrize(("truth", "found", "expected"), TABLE.values(), ids=TABLE)
def test_confusion_counts(truth, found, expected):
    matrix = confusion(*data_set([(truth, found)]))
    filled = {(int(row), int(column)): int(matrix.counts[row, column]) for row, column in np.argwhere(matrix.counts)}
    assert filled == expected
    assert matrix.counts.shape == (4, 4)


def test_confusion_to_dict():
    record = confusion(*data_set([([(A, CAT, "")], [(A, DOG, 0.3)])]), score=0.25, iou=0.75).to_dict()
    assert record == {
        "classes": ("cat", "dog", "zebra"),
        "score": 0.25,
        "iou": 0.75,
        "counts": [[0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
    }


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.01, 0.02]), st.sampled_from([0.5, 0.3]))
def test_confusion_equals_a_plain_loop(seed, score, least):
    annotations, predictions = untied_data_set(seed)
    counts = confusion(annotations, predictions, score, least).counts
    slow = np.zeros((4, 4), np.int64)
    for index, prediction in enumerate(predictions):
        slow += slow_counts(annotations[index], prediction, score, least)
    np.testing.assert_array_equal(counts, slow)
    objects = np.bincount(annotations.labels[~annotations.difficult & ~annotations.crowd], minlength=4)
    assert counts.sum(axis=1)[1:].tolist() == objects[1:].tolist()


def slow_counts(image: ImageAnnotation, prediction: Prediction, score: float, least: float) -> np.ndarray:
    counts = np.zeros((4, 4), np.int64)
    lenient = image.difficult | image.crowd
    free = [n for n in np.argsort(image.labels, kind="stable").tolist() if not lenient[n]]
    own_free = list(free)
    for row in np.argsort(-prediction.scores).tolist():
        if prediction.scores[row] < score:
            continue
        box, label = prediction.boxes[row], int(prediction.labels[row])
        if _excused(box, label, image, lenient, own_free, least):
            continue
        near = [n for n in free if iou(box, image.boxes[n]) >= least]
        if near:
            best = max(reversed(near), key=lambda n: iou(box, image.boxes[n]))
            counts[image.labels[best], label] += 1
            free.remove(best)
        else:
            counts[0, label] += 1
    for n in free:
        counts[image.labels[n], 0] += 1
    return counts


def _excused(
    box: np.ndarray, label: int, image: ImageAnnotation, lenient: np.ndarray, own_free: list[int], least: float
) -> bool:
    """Whether COCO's matching within the class makes nothing of it."""
    own = [n for n in own_free if image.labels[n] == label and iou(box, image.boxes[n]) >= least]
    if own:
        own_free.remove(max(reversed(own), key=lambda n: iou(box, image.boxes[n])))
        return False
    area = (box[2] - box[0]) * (box[3] - box[1])
    for n in np.flatnonzero(lenient & (image.labels == label)):
        w, h = np.minimum(box[2:], image.boxes[n, 2:]) - np.maximum(box[:2], image.boxes[n, :2])
        if w > 0 and h > 0 and w * h / area >= least:
            return True
    return False
