from __future__ import annotations

import numpy as np
import pytest

from detect.data.near_duplicates import image_hash
from detect.evaluation.predictions import Prediction
from detect.inference.rank_images import label_gain, order_images


def prediction(name: str, scores: list[float]) -> Prediction:
    labels = np.ones(len(scores), np.int64)
    return Prediction(name, 20, 10, np.zeros((len(scores), 4)), np.array(scores, float), labels)


@pytest.mark.parametrize(("scores", "gain"), [([], 0), ([0.0, 1.0], 0), ([0.5], 1), ([0.5, 0.9], 1.36)])
def test_doubt_is_highest_at_a_half(scores: list[float], gain: float) -> None:
    assert label_gain(np.array(scores, float)) == pytest.approx(gain)


def test_no_images_have_no_order() -> None:
    assert order_images([], []) == ()


def test_near_duplicates_go_to_the_end() -> None:
    draw = np.random.default_rng(0)
    hashes = [image_hash(draw.integers(0, 256, (64, 64), np.uint8)) for _ in range(3)]
    scores = {"sure": [0.99], "doubtful": [0.5, 0.6], "copy of doubtful": [0.5], "empty": []}
    predictions = [prediction(name, listed) for name, listed in scores.items()]
    ranked = order_images(predictions, [hashes[0], hashes[1], hashes[1], hashes[2]])
    assert [image.file for image in ranked] == ["doubtful", "sure", "empty", "copy of doubtful"]
    assert [image.near_duplicate_of for image in ranked] == ["", "", "", "doubtful"]
    assert ranked[0].detections == 2
