from __future__ import annotations

import numpy as np
import pytest

from detect.data.inspect.box_conventions import BOX_CONVENTIONS, find_better_convention, fraction_that_fits, to_corners

IMAGE_SIDES = np.tile([200.0, 100.0], (40, 1))


def random_corners(count: int = 40) -> np.ndarray:
    rng = np.random.default_rng(0)
    first = rng.uniform(0, (150, 70), (count, 2))
    return np.concatenate([first, first + rng.uniform(0, 5, (count, 2)) + (40, 25)], 1)


def from_corners(boxes: np.ndarray, reading: str) -> np.ndarray:
    """The inverse of as_corners."""
    size = boxes[:, 2:] - boxes[:, :2]
    if reading == "x y width height":
        return np.concatenate([boxes[:, :2], size], 1)
    return np.concatenate([boxes[:, :2] + size / 2, size], 1) if reading.startswith("cx") else boxes


@pytest.mark.parametrize("convention_in_file", sorted(set(BOX_CONVENTIONS.values())))
def test_to_corners_inverts_from_corners(convention_in_file: str) -> None:
    np.testing.assert_allclose(
        to_corners(from_corners(random_corners(), convention_in_file), convention_in_file), random_corners()
    )
    assert fraction_that_fits(random_corners(), IMAGE_SIDES) == 1.0


@pytest.mark.parametrize("format_convention", sorted(set(BOX_CONVENTIONS.values())))
@pytest.mark.parametrize("convention_in_file", sorted(set(BOX_CONVENTIONS.values())))
def test_better_convention_is_found(format_convention: str, convention_in_file: str) -> None:
    expected = None if format_convention == convention_in_file else convention_in_file
    assert (
        find_better_convention(from_corners(random_corners(), convention_in_file), IMAGE_SIDES, format_convention)
        == expected
    )


@pytest.mark.parametrize("count", [0, 1, 7])
def test_few_boxes_give_no_better_convention(count: int) -> None:
    boxes = from_corners(random_corners(), "x y width height")[:count]
    assert find_better_convention(boxes, IMAGE_SIDES[:count], "x1 y1 x2 y2") is None


def test_a_few_bad_boxes_give_no_better_convention() -> None:
    boxes = random_corners()
    boxes[:3] = boxes[:3, [2, 3, 0, 1]]
    assert find_better_convention(boxes, IMAGE_SIDES, "x1 y1 x2 y2") is None
