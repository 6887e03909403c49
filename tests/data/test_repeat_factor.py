from __future__ import annotations

import numpy as np
import pytest

from detect.data.annotations import Annotations, ImageAnnotation
from detect.data.repeat_factor import repeat_factor_sampling


def make_annotations(labels: list[list[int]]) -> Annotations:
    images = [
        ImageAnnotation(
            file=f"/{i}.jpg",
            image_id=i + 1,
            size=(9, 9),
            boxes=np.tile([1.0, 1.0, 5.0, 5.0], (len(image_labels), 1)),
            labels=np.asarray(image_labels, np.int64),
            difficult=np.zeros(len(image_labels), bool),
            crowd=np.zeros(len(image_labels), bool),
            areas=np.full(len(image_labels), 16.0),
        )
        for i, image_labels in enumerate(labels)
    ]
    return Annotations.from_images(images, ("common", "rare"))


@pytest.mark.parametrize(
    ("labels", "threshold", "expected"),
    [
        ([], 0.5, 0),
        ([[], []], 0.5, 2),  # no objects: once each
        ([[1], [1]], 0.5, 2),  # no class is rare
        ([[1]] * 3 + [[1, 2]], 1.0, 5),  # the rare class in a quarter of the images: sqrt(1 / 0.25) = twice
        ([[1]] * 15 + [[2]], 1.0, 19),  # in a sixteenth: four times; the common class in 15/16: at random
    ],
)
def test_image_is_repeated_by_its_rarest_class(labels: list[list[int]], threshold: float, expected: int) -> None:
    repeated = repeat_factor_sampling(make_annotations(labels), threshold, seed=0)
    assert expected <= len(repeated) <= expected + 2
    assert len(set(repeated.image_ids.tolist())) == len(repeated)
    assert [repeated.file(index) for index in range(len(labels))] == [f"/{i}.jpg" for i in range(len(labels))]


@pytest.mark.slow
def test_fractional_factor_holds_on_average() -> None:
    labels = [[1]] * 900 + [[2]] * 100
    counts = [len(repeat_factor_sampling(make_annotations(labels), 0.225, seed)) - 1000 for seed in range(20)]
    assert np.mean(counts) == pytest.approx(50, abs=4)  # factor sqrt(0.225 / 0.1) = 1.5 on a hundred images
    assert len(set(counts)) > 1
