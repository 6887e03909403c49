"""Small data sets with detections, written down or drawn at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from detect.data.annotations import Annotations, ImageAnnotation, pack
from detect.evaluation.predictions import Prediction

Truth = tuple[tuple[float, float, float, float], int, str]  # box, label, "" or "difficult" or "crowd"
Found = tuple[tuple[float, float, float, float], int, float]  # box, label, score
CLASSES = ("cat", "dog", "zebra")


def photo(place: int, truth: Sequence[Truth]) -> ImageAnnotation:
    boxes = np.array([box for box, _, _ in truth], float).reshape(-1, 4)
    return ImageAnnotation(
        file=f"/photos/{place:03}.jpg",
        image_id=10 * place,
        size=(400, 300),
        boxes=boxes,
        labels=np.array([label for _, label, _ in truth], np.int64),
        difficult=np.array([kind == "difficult" for _, _, kind in truth], bool),
        crowd=np.array([kind == "crowd" for _, _, kind in truth], bool),
        areas=(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) * 0.9,
    )


def prediction(place: int, found: Sequence[Found]) -> Prediction:
    return Prediction(
        file=f"/photos/{place:03}.jpg",
        width=300,
        height=400,
        boxes=np.array([box for box, _, _ in found], float).reshape(-1, 4),
        scores=np.array([score for _, _, score in found], float),
        labels=np.array([label for _, label, _ in found], np.int64),
    )


def data_set(photos: Sequence[tuple[Sequence[Truth], Sequence[Found]]]) -> tuple[Annotations, list[Prediction]]:
    """Category ids have gaps, image ids too."""
    truth = pack([photo(place, t) for place, (t, _) in enumerate(photos, 1)], CLASSES, category_ids=[3, 7, 90])
    return truth, [prediction(place, f) for place, (_, f) in enumerate(photos, 1)]


# Few places, sides and scores, so that overlaps, duplicates and ties of IoU and score are common.
_place, _side = st.integers(0, 6).map(lambda n: 20.0 * n), st.sampled_from([20.0, 30.0, 40.0, 80.0, 120.0])
_box = st.builds(lambda x, y, w, h: (x, y, x + w, y + h), _place, _place, _side, _side)
_label = st.sampled_from([1, 1, 1, 2])  # zebra has neither truth nor detections
_truth = st.tuples(_box, _label, st.sampled_from(["", "", "", "difficult", "crowd"]))
_score = st.sampled_from([0.1, 0.25, 0.5, 0.5, 0.75, 0.9])


def _shifted(at: tuple[tuple[float, float, float, float], int], dx: float, score: float) -> Found:
    (x1, y1, x2, y2), label = at
    return (x1 + dx, y1, x2, y2), label, score


@st.composite
def random_photo(draw: st.DrawFn) -> tuple[list[Truth], list[Found]]:
    truth = draw(st.lists(_truth, max_size=6))
    seen = [(box, label) for box, label, _ in truth] or [((0.0, 0.0, 20.0, 20.0), 1)]
    hit = st.builds(_shifted, st.sampled_from(seen), st.sampled_from([0.0, 0.0, 5.0, -7.0, 10.0]), _score)
    miss = st.tuples(_box, _label, _score)
    return truth, draw(st.lists(hit | hit | miss, max_size=10))


random_data_set = st.lists(random_photo(), max_size=3)
