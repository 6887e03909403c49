"""The public search: order, seeds, threads, odd images, wrong input."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from detect.errors import UserError
from detect.proposals import selective_search
from detect.proposals.selective_search.colour import SPACES
from detect.proposals.selective_search.ranking import rank
from detect.proposals.selective_search.strategies import MODES, Hierarchy, Strategy
from tests.proposals.test_grouping import random_image

pytestmark = pytest.mark.slow  # numba compiles for half a minute on a new machine


def picture(height, width, seed=0):
    return np.ascontiguousarray(random_image(height, width, 3, seed).transpose(1, 2, 0))


@pytest.mark.parametrize(("mode", "strategies"), [("single", 1), ("fast", 8), ("quality", 80)])
def test_a_mode_has_the_strategies_of_the_paper(mode, strategies):
    found = MODES[mode]
    assert len(found.spaces) * len(found.similarities) * len(found.scales) == strategies


@pytest.mark.parametrize("mode", list(MODES))
def test_boxes_lie_within_the_image_once_each_and_large_enough(mode):
    found = selective_search(picture(90, 120), mode, min_side=50)
    boxes = found.boxes
    assert len(found) > 5
    assert boxes.dtype == found.scores.dtype == torch.float32
    assert len(torch.unique(boxes, dim=0)) == len(boxes)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= torch.tensor([120, 90])).all()
    assert (boxes[:, 2:] - boxes[:, :2]).min() >= 50 * 120 / 500
    assert (found.scores.diff() <= 0).all()
    assert [0, 0, 120, 90] in boxes.int().tolist()


def test_the_same_seed_gives_the_same_boxes_on_any_number_of_threads():
    image = picture(80, 100)
    one, same, five = (selective_search(image, "quality", seed=3, threads=threads) for threads in (1, 1, 5))
    assert torch.equal(one.boxes, same.boxes)
    assert torch.equal(one.boxes, five.boxes)
    assert torch.equal(one.scores, five.scores)


def test_another_seed_gives_the_same_boxes_in_another_order():
    image = picture(80, 100)
    one, other = (selective_search(image, seed=seed).boxes.int().tolist() for seed in (0, 1))
    assert one != other
    assert sorted(one) == sorted(other)


def test_a_limit_keeps_the_best(monkeypatch):
    image = picture(80, 100)
    every = selective_search(image, "fast")
    monkeypatch.setitem(MODES, "fast", replace(MODES["fast"], limit=5))
    few = selective_search(image, "fast")
    assert len(every) > 5
    assert torch.equal(few.boxes, every.boxes[:5])
    assert torch.equal(few.scores, every.scores[:5])


def test_of_equal_boxes_the_best_placed_is_kept():
    boxes = np.array([[0, 0, 9, 9], [1, 1, 5, 5], [0, 0, 9, 9], [2, 2, 4, 9]], np.int32)
    one, other = Strategy("HSV", 50, None), Strategy("Lab", 50, None)
    both = [Hierarchy(one, boxes[:2], np.array([1, 50])), Hierarchy(other, boxes[2:], np.array([9, 2]))]
    for seed in range(20):
        ranked = rank(both, min_side=3, seed=seed)
        found, scores = ranked.boxes, ranked.scores
        assert boxes[ranked.places].tolist() == found.tolist()
        assert sorted(found.tolist()) == [[0, 0, 9, 9], [1, 1, 5, 5]]
        assert (np.diff(scores) <= 0).all()
        assert scores[found.tolist().index([0, 0, 9, 9])] >= 0.5


@pytest.mark.parametrize("size", [(1, 1), (60, 1), (1, 60), (2, 40), (30, 3)])
@pytest.mark.parametrize("resize_to", [None, 50])
def test_thin_images(size, resize_to):
    found = selective_search(picture(*size), "fast", min_side=0, resize_to=resize_to)
    assert found.boxes[0].tolist() == [0, 0, size[1], size[0]]


def test_a_flat_image_is_one_box():
    found = selective_search(np.full((50, 60, 3), 7, np.uint8), "quality")
    assert found.boxes.tolist() == [[0, 0, 60, 50]]


def test_nothing_is_left_where_every_box_is_too_small():
    found = selective_search(picture(1, 60))
    assert found.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    "convert",
    [
        lambda rgb: np.dstack([rgb, np.arange(rgb[..., 0].size, dtype=np.uint8).reshape(rgb.shape[:2])]),
        lambda rgb: rgb / 255,
        lambda rgb: (rgb / 255).astype(np.float32),
        lambda rgb: np.asfortranarray(rgb),
        lambda rgb: rgb[:, ::-1].copy()[:, ::-1],
    ],
    ids=["RGBA", "float64", "float32", "column order", "view"],
)
def test_other_arrays_of_the_same_picture(convert):
    rgb = picture(60, 80)
    assert torch.equal(selective_search(convert(rgb)).boxes, selective_search(rgb).boxes)


@pytest.mark.parametrize("extra", [(), (1,)])
def test_grey_is_its_repetition(extra):
    grey = picture(60, 80)[..., 0]
    assert torch.equal(
        selective_search(grey.reshape(*grey.shape, *extra)).boxes, selective_search(np.dstack([grey] * 3)).boxes
    )


def test_a_large_image_is_searched_at_the_width_asked_for_and_answered_in_its_own_pixels():
    small = picture(60, 80)
    large = np.kron(small, np.ones((50, 50, 1), np.uint8))
    assert large.shape == (3000, 4000, 3)
    found = selective_search(large, resize_to=80)
    assert torch.equal(found.boxes, selective_search(small).boxes * 50)


@pytest.mark.parametrize(
    ("image", "settings", "words"),
    [
        ([[0]], {}, "image: expected a numpy array .* found list"),
        (np.zeros((3, 3, 2), np.uint8), {}, r"found \(3, 3, 2\)"),
        (np.zeros(3, np.uint8), {}, r"found \(3,\)"),
        (np.zeros((0, 5, 3), np.uint8), {}, "at least one pixel"),
        (np.zeros((3, 3), np.int64), {}, "found int64"),
        (np.full((3, 3), 2.0), {}, r"0\.\.1, found 2\.\.2"),
        (np.full((3, 3), np.nan), {}, "found nan"),
        (np.zeros((1, 40000), np.uint8), {}, "give resize_to=500"),
        (np.zeros((3, 3), np.uint8), {"mode": "fats"}, 'did you mean "fast"'),
        (np.zeros((3, 3), np.uint8), {"threads": 0}, "threads: .* found 0"),
        (np.zeros((3, 3), np.uint8), {"resize_to": 1.5}, "resize_to: .* found 1.5"),
        (np.zeros((3, 3), np.uint8), {"min_side": -1}, "min_side: .* found -1"),
    ],
)
def test_wrong_input_is_a_clear_error(image, settings, words):
    with pytest.raises(UserError, match=words):
        selective_search(image, **settings)


@pytest.mark.parametrize("name", list(SPACES))
@pytest.mark.parametrize(
    ("rgb", "wanted"),
    [
        ((0, 0, 0), {"HSV": [0, 0, 0], "Lab": [0, 128, 128], "rgI": [0, 0, 0], "H": [0], "I": [0]}),
        ((255, 255, 255), {"HSV": [0, 0, 255], "Lab": [255, 128, 128], "rgI": [85, 85, 255], "H": [0], "I": [255]}),
        ((0, 255, 0), {"HSV": [85, 255, 255], "Lab": [224, 42, 211], "rgI": [0, 255, 150], "H": [85], "I": [150]}),
    ],
)
def test_colour_spaces(name, rgb, wanted):
    planes = SPACES[name].planes(np.full((1, 1, 3), rgb, np.uint8))
    assert planes.dtype == np.uint8
    assert planes[:, 0, 0].tolist() == wanted[name]
