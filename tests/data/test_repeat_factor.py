from __future__ import annotations

import numpy as np
import pytest

from detect.data.annotations import Annotations, ImageAnnotation, pack
from detect.data.repeat_factor import repeat_rare


def images(labels: list[list[int]]) -> Annotations:
    images = [
        ImageAnnotation(
            file=f"/{place}.jpg",
            image_id=place + 1,
            size=(9, 9),
            boxes=np.tile([1.0, 1.0, 5.0, 5.0], (len(found), 1)),
            labels=np.asarray(found, np.int64),
            difficult=np.zeros(len(found), bool),
            crowd=np.zeros(len(found), bool),
            areas=np.full(len(found), 16.0),
        )
        for place, found in enumerate(labels)
    ]
    return pack(images, ("common", "rare"))


@pytest.mark.parametrize(
    ("labels", "threshold", "expected"),
    [
        ([], 0.5, 0),
        ([[], []], 0.5, 2),  # nothing in them: once each
        ([[1], [1]], 0.5, 2),  # no class is rare
        ([[1]] * 3 + [[1, 2]], 1.0, 5),  # the rare class in a quarter of the images: sqrt(1 / 0.25) = twice
        ([[1]] * 15 + [[2]], 1.0, 19),  # in a sixteenth: four times; the common class in 15/16: by lot
    ],
)
def test_a_image_is_repeated_by_its_rarest_class(labels: list[list[int]], threshold: float, expected: int) -> None:
    found = repeat_rare(images(labels), threshold, seed=0)
    assert expected <= len(found) <= expected + 2
    assert len(set(found.image_ids.tolist())) == len(found)
    assert [found.file(index) for index in range(len(labels))] == [f"/{place}.jpg" for place in range(len(labels))]


def test_a_broken_factor_is_met_on_average() -> None:
    labels = [[1]] * 900 + [[2]] * 100
    counts = [len(repeat_rare(images(labels), 0.225, seed)) - 1000 for seed in range(20)]
    assert np.mean(counts) == pytest.approx(50, abs=4)  # factor sqrt(0.225 / 0.1) = 1.5 on a hundred images
    assert len(set(counts)) > 1
