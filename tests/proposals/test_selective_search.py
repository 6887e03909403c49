"""The public function: order, seeds, threads, unusual images, invalid input."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from detect.errors import UserError
from detect.proposals import selective_search
from detect.proposals.selective_search.color import SPACES
from detect.proposals.selective_search.ranking import rank_boxes
from detect.proposals.selective_search.settings import COLORS, SIMILARITIES, SearchSettings
from detect.proposals.selective_search.strategies import MODES, Hierarchy, Strategy, select_strategies
from tests.proposals.test_grouping import random_planes

pytestmark = pytest.mark.slow  # numba compiles for half a minute on a new machine


def random_rgb(height, width, seed=0):
    return np.ascontiguousarray(random_planes(height, width, 3, seed).transpose(1, 2, 0))


@pytest.mark.parametrize(("mode", "strategies"), [("single", 1), ("fast", 8), ("quality", 80)])
def test_modes_have_as_many_strategies_as_the_paper(mode, strategies):
    settings = MODES[mode]
    assert len(settings.spaces) * len(settings.similarities) * len(settings.scales) == strategies


@pytest.mark.parametrize("mode", list(MODES))
def test_selective_search_boxes_are_distinct_large_enough_and_inside_the_image(mode):
    proposals = selective_search(random_rgb(90, 120), mode, min_side=50)
    boxes = proposals.boxes
    assert len(proposals) > 5
    assert boxes.dtype == proposals.scores.dtype == torch.float32
    assert len(torch.unique(boxes, dim=0)) == len(boxes)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= torch.tensor([120, 90])).all()
    assert (boxes[:, 2:] - boxes[:, :2]).min() >= 50 * 120 / 500
    assert (proposals.scores.diff() <= 0).all()
    assert [0, 0, 120, 90] in boxes.int().tolist()


def test_selective_search_with_any_number_of_threads_returns_the_same_boxes():
    image = random_rgb(80, 100)
    first, repeated, threaded = (selective_search(image, "quality", seed=3, threads=threads) for threads in (1, 1, 5))
    assert torch.equal(first.boxes, repeated.boxes)
    assert torch.equal(first.boxes, threaded.boxes)
    assert torch.equal(first.scores, threaded.scores)


CHOICES: dict[str, dict[str, Any]] = {
    "single": {"colors": ["HSV"], "similarities": ["CTSF"], "k": [100]},
    "fast": {"colors": ["HSV", "Lab"], "similarities": ["CTSF", "TSF"], "k": [50, 100]},
    "quality": {
        "colors": ["HSV", "Lab", "rgI", "H", "I"],
        "similarities": ["CTSF", "TSF", "F", "S"],
        "k": [50, 100, 150, 300],
    },
}


@pytest.mark.parametrize("mode", list(CHOICES))
def test_selective_search_with_the_choices_of_a_mode_returns_its_boxes(mode):
    image = random_rgb(80, 100)
    expected, chosen = selective_search(image, mode), selective_search(image, "single", **CHOICES[mode])
    assert torch.equal(chosen.boxes, expected.boxes)
    assert torch.equal(chosen.scores, expected.scores)


@pytest.mark.parametrize("choice", [{"colors": ["I"]}, {"similarities": ["S"]}, {"k": [300]}, {"colors": ["RGB"]}])
def test_selective_search_with_one_choice_returns_other_boxes(choice):
    image = random_rgb(80, 100)
    boxes, chosen = selective_search(image, "single").boxes, selective_search(image, "single", **choice).boxes
    assert len(chosen) > 1
    assert boxes.tolist() != chosen.tolist()


def test_color_spaces_and_similarities_have_their_names():
    assert tuple(SPACES) == COLORS
    assert len(set(SIMILARITIES)) == 15
    settings = SearchSettings(colors=("I",), similarities=SIMILARITIES, k=(7,))
    strategies = select_strategies(settings)
    assert (strategies.spaces, strategies.scales) == (("I",), (7,))
    assert len(set(strategies.similarities)) == 15
    for mode, names in (("fast", ("CTSF", "TSF")), ("quality", ("CTSF", "TSF", "F", "S"))):
        assert select_strategies(SearchSettings(similarities=names)).similarities == MODES[mode].similarities
    assert select_strategies(SearchSettings("quality")) == MODES["quality"]


@pytest.mark.parametrize(
    ("size", "settings", "expected"),
    [
        ((60, 250), {}, 10),  # 20 pixels at a width of 500
        ((60, 250), {"min_side_width": None}, 20),
        ((60, 250), {"min_side_width": None, "resize_to": 500}, 10),
        ((60, 250), {"min_side_width": 125}, 40),
    ],
)
def test_selective_search_measures_the_shortest_side_at_a_width(size, settings, expected):
    image = random_rgb(*size)
    all_boxes = selective_search(image, **settings | {"min_side": 0}).boxes
    large = (all_boxes[:, 2:] - all_boxes[:, :2]).min(dim=1).values >= expected
    assert 0 < large.sum() < len(large)
    assert torch.equal(selective_search(image, **settings).boxes, all_boxes[large])


def test_selective_search_with_another_seed_changes_only_the_order():
    image = random_rgb(80, 100)
    first, other = (selective_search(image, seed=seed).boxes.int().tolist() for seed in (0, 1))
    assert first != other
    assert sorted(first) == sorted(other)


def test_selective_search_with_max_boxes_returns_the_best(monkeypatch):
    image = random_rgb(80, 100)
    all_boxes = selective_search(image, "fast")
    monkeypatch.setitem(MODES, "fast", replace(MODES["fast"], max_boxes=5))
    best = selective_search(image, "fast")
    assert len(all_boxes) > 5
    assert torch.equal(best.boxes, all_boxes.boxes[:5])
    assert torch.equal(best.scores, all_boxes.scores[:5])


def test_rank_boxes_of_equal_boxes_keeps_the_best_ranked():
    boxes = np.array([[0, 0, 9, 9], [1, 1, 5, 5], [0, 0, 9, 9], [2, 2, 4, 9]], np.int32)
    first, other = Strategy("HSV", 50, None), Strategy("Lab", 50, None)
    both = [Hierarchy(first, boxes[:2], np.array([1, 50])), Hierarchy(other, boxes[2:], np.array([9, 2]))]
    for seed in range(20):
        ranked = rank_boxes(both, min_side=3, seed=seed)
        ranked_boxes, scores = ranked.boxes, ranked.scores
        assert boxes[ranked.indices].tolist() == ranked_boxes.tolist()
        assert sorted(ranked_boxes.tolist()) == [[0, 0, 9, 9], [1, 1, 5, 5]]
        assert (np.diff(scores) <= 0).all()
        assert scores[ranked_boxes.tolist().index([0, 0, 9, 9])] >= 0.5


@pytest.mark.parametrize("size", [(1, 1), (60, 1), (1, 60), (2, 40), (30, 3)])
@pytest.mark.parametrize("resize_to", [None, 50])
def test_selective_search_of_thin_images_starts_with_the_whole_image(size, resize_to):
    proposals = selective_search(random_rgb(*size), "fast", min_side=0, resize_to=resize_to)
    assert proposals.boxes[0].tolist() == [0, 0, size[1], size[0]]


def test_selective_search_of_a_flat_image_returns_one_box():
    proposals = selective_search(np.full((50, 60, 3), 7, np.uint8), "quality")
    assert proposals.boxes.tolist() == [[0, 0, 60, 50]]


def test_selective_search_with_only_small_boxes_is_empty():
    proposals = selective_search(random_rgb(1, 60))
    assert proposals.boxes.shape == (0, 4)


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
def test_selective_search_of_other_array_types_returns_the_same_boxes(convert):
    rgb = random_rgb(60, 80)
    assert torch.equal(selective_search(convert(rgb)).boxes, selective_search(rgb).boxes)


@pytest.mark.parametrize("extra", [(), (1,)])
def test_selective_search_of_gray_equals_three_equal_channels(extra):
    gray = random_rgb(60, 80)[..., 0]
    assert torch.equal(
        selective_search(gray.reshape(*gray.shape, *extra)).boxes, selective_search(np.dstack([gray] * 3)).boxes
    )


def test_selective_search_with_resize_to_returns_boxes_in_pixels_of_the_input():
    small = random_rgb(60, 80)
    large = np.kron(small, np.ones((50, 50, 1), np.uint8))
    assert large.shape == (3000, 4000, 3)
    proposals = selective_search(large, resize_to=80)
    assert torch.equal(proposals.boxes, selective_search(small).boxes * 50)


@pytest.mark.parametrize(
    ("image", "settings", "message"),
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
        (np.zeros((3, 3), np.uint8), {"min_side_width": 0}, "min_side_width: .* found 0"),
        (
            np.zeros((3, 3), np.uint8),
            {"colors": ["hsw"]},
            r"colors: expected names of HSV, Lab, .* found 'hsw' .*\"HSV\"",
        ),
        (np.zeros((3, 3), np.uint8), {"similarities": ["FS"]}, "similarities: expected names of C, T, .* found 'FS'"),
        (np.zeros((3, 3), np.uint8), {"similarities": []}, r"similarities: expected at least one, .* found \[\]"),
        (np.zeros((3, 3), np.uint8), {"colors": ["I", "H", "I"]}, "colors: .* each once, found"),
        (np.zeros((3, 3), np.uint8), {"k": [50, 0]}, "k: expected integers of at least 1, found 0"),
    ],
)
def test_selective_search_of_invalid_input_raises_user_error(image, settings, message):
    with pytest.raises(UserError, match=message):
        selective_search(image, **settings)


@pytest.mark.parametrize("name", list(SPACES))
@pytest.mark.parametrize(
    ("pixel", "expected"),
    [
        ((0, 0, 0), ([0, 0, 0], [0, 128, 128], [0, 0, 0], [0], [0], [0, 0, 0], [0, 0, 0])),
        ((255, 255, 255), ([0, 0, 255], [255, 128, 128], [85, 85, 255], [0], [255], [255] * 3, [85] * 3)),
        ((0, 255, 0), ([85, 255, 255], [224, 42, 211], [0, 255, 150], [85], [150], [0, 255, 0], [0, 255, 0])),
    ],
)
def test_color_spaces_of_one_pixel_have_known_values(name, pixel, expected):
    planes = SPACES[name].planes(np.full((1, 1, 3), pixel, np.uint8))
    assert planes.dtype == np.uint8
    assert planes[:, 0, 0].tolist() == dict(zip(COLORS, expected, strict=True))[name]
