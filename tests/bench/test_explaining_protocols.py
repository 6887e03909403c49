"""The scores of ODAM's protocol on small maps, and the sanity check with random weights."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from detect.bench.explaining_protocols import discrimination_index, explanation_accuracy, highest_in, in_boxes
from detect.bench.randomized_detector import randomize, rank_correlation
from tests.explain.example_detectors import make_detector

MASK = np.array([[True, True, False, False]])
OTHER = np.array([[False, False, True, False]])


@pytest.mark.parametrize(
    ("heat", "accuracy", "index", "pointing"),
    [
        ([0.0, 0.0, 0.0, 0.0], 0.0, 0.0, 0.0),  # an empty map
        ([-1.0, -1.0, -2.0, -3.0], 0.0, 0.0, 0.0),
        ([2.0, 2.0, 0.0, 0.0], 1.0, 0.0, 1.0),  # the mask itself
        ([0.0, 0.0, 0.0, 3.0], 0.0, 0.0, 0.0),  # background alone
        ([0.0, 0.0, 3.0, 1.0], 0.0, 1.0, 0.0),  # the other object
        ([3.0, 0.0, 1.0, 0.0], 4 / 9, 0.25, 1.0),
        ([1.0, 1.0, 1.0, 0.0], 1.0 - 1 / 3, 1 / 3, 2 / 3),  # a filled box has no single peak
        ([1.0, 1.0, -5.0, -1.0], 1.0, 0.0, 1.0),  # values below 0 count as 0
    ],
)
def test_accuracy_discrimination_and_pointing_of_a_map(
    heat: list[float], accuracy: float, index: float, pointing: float
) -> None:
    image_map = np.array([heat])[:, :, None]
    assert explanation_accuracy(image_map, MASK) == pytest.approx(accuracy)
    assert discrimination_index(image_map, MASK, OTHER) == pytest.approx(index)
    assert highest_in(image_map, MASK) == pytest.approx(pointing)


def test_in_boxes_touches_every_pixel_of_each_box() -> None:
    assert not in_boxes(np.zeros((0, 4)), (3, 4)).any()
    mask = in_boxes(np.array([[0.5, 0.0, 1.5, 1.0], [-3.0, 2.0, 9.0, 3.0]]), (3, 4))
    assert mask.tolist() == [[True, True, False, False], [False] * 4, [True] * 4]


def test_rank_correlation_is_that_of_scipy() -> None:
    draws = np.random.default_rng(0)
    first, second = draws.integers(0, 5, (6, 7, 1)), draws.normal(size=(6, 7, 1))  # with equal values
    assert rank_correlation(first, second) == pytest.approx(spearmanr(first.ravel(), second.ravel())[0])
    assert rank_correlation(np.zeros((2, 2)), np.eye(2)) is None
    assert rank_correlation(np.full((2, 2), np.nan), np.eye(2)) is None


def test_randomize_draws_every_weight_anew_and_leaves_the_detector() -> None:
    detector = make_detector("fast_rcnn")
    before = {name: weight.clone() for name, weight in detector.named_parameters()}
    random = dict(randomize(detector).named_parameters())
    for name, weight in detector.named_parameters():
        assert weight.equal(before[name])
        assert weight.dim() < 2 or weight.numel() < 2 or not weight.equal(random[name]), name
        assert weight.dim() > 1 or weight.equal(random[name])
