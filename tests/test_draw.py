from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.draw import (
    LabeledBoxes,
    class_color,
    draw_detections,
    draw_targets_and_detections,
    image_grid,
    place_caption,
    save_image,
    text_color,
)
from detect.errors import UserError

NO_BOXES = LabeledBoxes(np.zeros((0, 4)), [], [])


def gray_image(height: int, width: int, value: int = 90) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((400, 500), (400, 500)),
        ((320, 10), (320, 10)),
        ((128, 120), (384, 360)),
        ((319, 100), (638, 200)),
        ((1, 1), (320, 320)),
    ],
)
def test_draw_detections_without_boxes_returns_the_image_enlarged_if_small(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    rgb = gray_image(*size)
    drawn = draw_detections(rgb, NO_BOXES, [])
    np.testing.assert_array_equal(drawn, gray_image(*expected))
    assert not np.shares_memory(drawn, rgb)


@pytest.mark.parametrize("value", [0, 90, 255])
def test_draw_detections_draws_a_box_only_at_its_position(value: int) -> None:
    rgb = gray_image(400, 500, value)
    drawn = draw_detections(rgb, LabeledBoxes(np.array([[100.0, 80, 300, 240]]), [1], [0.5]), ["dog"])
    color = np.array(class_color(1))
    for point in [(82, 200), (238, 200), (160, 101), (160, 298), (238, 298)]:  # the last pixels inside each edge
        line = drawn[point[0] - 2 : point[0] + 2, point[1] - 2 : point[1] + 2].reshape(-1, 3)
        assert (line == color).all(axis=1).any()
    assert (drawn[100:230, 120:290] == value).all()
    assert (drawn[260:] == value).all()
    assert (drawn[:, 310:] == value).all()
    assert (drawn[79, 150:290] != value).any()  # the caption stands above
    assert (rgb == value).all()


def test_draw_detections_on_a_small_image_scales_its_boxes() -> None:
    drawn = draw_detections(gray_image(100, 160), LabeledBoxes(np.array([[80.0, 50, 150, 90]]), [1], None), ["a"])
    assert drawn.shape == (200, 320, 3)
    assert tuple(drawn[100, 250]) == class_color(1)
    assert tuple(drawn[179, 200]) == class_color(1)


@pytest.mark.parametrize(
    "box",
    [[-50, -60, 900, 700], [390, 290, 400, 300], [0, 0, 0, 0], [500, 500, 600, 600], [-9, -9, -5, -5], [0, 0, 3, 300]],
)
def test_draw_detections_clips_boxes_to_the_image(box: list[float]) -> None:
    drawn = draw_detections(gray_image(300, 400), LabeledBoxes(np.array([box], float), [2], [1.0]), ["a", "b"])
    assert drawn.shape == (300, 400, 3)
    assert (drawn.reshape(-1, 3) == class_color(2)).all(axis=1).any()


def test_draw_detections_draws_the_best_score_on_top() -> None:
    boxes = np.array([[50.0, 100, 200, 250], [50, 100, 200, 250]])
    for scores, front in [([0.2, 0.9], 2), ([0.9, 0.2], 1), (None, 1)]:
        drawn = draw_detections(gray_image(400, 400), LabeledBoxes(boxes, [1, 2], scores), ["a", "b"])
        assert tuple(drawn[249, 150]) == class_color(front)


def test_caption_contains_class_and_score() -> None:
    boxes = LabeledBoxes(np.zeros((2, 4)), np.array([2, 1]), np.array([0.987, 0.5]))
    assert [boxes.caption(i, ["cat", "chaise épaisse"]) for i in range(2)] == ["chaise épaisse 0.99", "cat 0.50"]
    assert LabeledBoxes(np.zeros((1, 4)), [1]).caption(0, ["cat"]) == "cat"


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    st.text(max_size=60),
    st.tuples(*[st.integers(-20, 420)] * 4),
    st.tuples(st.integers(1, 400), st.integers(1, 400)),
    st.integers(12, 40),
)
def test_place_caption_stays_inside_the_image(
    text: str, box: tuple[int, int, int, int], size: tuple[int, int], font_size: int
) -> None:
    x1, y1, x2, y2 = place_caption(text, box, size, [], font_size).rectangle
    assert 0 <= x1 < x2 <= size[0]
    assert 0 <= y1 < y2 <= size[1]


def test_place_caption_avoids_occupied_rectangles() -> None:
    occupied: list[tuple[int, int, int, int]] = []
    for _ in range(3):
        rectangle = place_caption("person 0.99", (100, 100, 300, 300), (500, 500), occupied, 14).rectangle
        shared = [
            min(rectangle[2], at[2]) > max(rectangle[0], at[0]) and min(rectangle[3], at[3]) > max(rectangle[1], at[1])
            for at in occupied
        ]
        assert not any(shared)
        occupied.append(rectangle)
    assert occupied[0][3] == 100


def test_place_caption_truncates_text_wider_than_the_image() -> None:
    assert place_caption("a very long name of a class", (0, 0, 50, 50), (90, 90), [], 12).text.endswith("…")
    assert place_caption("two\nlines", (0, 0, 50, 50), (90, 90), [], 12).text == "two lines"


@pytest.mark.parametrize(
    ("fill", "expected"),
    [
        ((0, 0, 0), 255),
        ((255, 255, 255), 0),
        ((255, 255, 0), 0),
        ((0, 0, 255), 255),
        ((90, 0, 90), 255),
        ((0, 200, 0), 0),
    ],
)
def test_text_color_contrasts_with_its_fill(fill: tuple[int, int, int], expected: int) -> None:
    assert text_color(fill) == (expected,) * 3


def test_class_color_is_stable_and_distinct() -> None:
    assert [class_color(label) for label in (0, 1, 2)] == [(128, 128, 128), (255, 51, 51), class_color(2)]
    rgb = np.array([[class_color(label) for label in range(21)]], np.float32) / 255
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[0]
    distances = np.linalg.norm(lab[:, None] - lab, axis=2) + 1000 * np.eye(21)
    assert distances.min() > 15  # a difference of 2 is just noticeable
    assert len({class_color(label) for label in range(200)}) == 200


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LabeledBoxes(np.zeros(4), []), "boxes"),
        (lambda: LabeledBoxes(np.zeros((2, 4)), [1]), "labels"),
        (lambda: LabeledBoxes(np.zeros((2, 4)), [1, 1], [0.5]), "scores"),
        (lambda: draw_detections(np.zeros((5, 5), np.uint8), NO_BOXES, []), "image"),
        (lambda: draw_detections(np.zeros((5, 5, 3)), NO_BOXES, []), "image"),
        (lambda: image_grid([], 3), "images"),
        (lambda: image_grid([gray_image(2, 2)], 0), "columns"),
    ],
)
def test_draw_functions_with_invalid_input_raise_value_error(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("count", "columns", "expected"),
    [(1, 1, (56, 38)), (1, 4, (56, 38)), (3, 2, (104, 68)), (4, 2, (104, 68)), (5, 2, (152, 68))],
)
def test_image_grid_contains_every_image_completely(count: int, columns: int, expected: tuple[int, int]) -> None:
    images = [gray_image(40, 22, 10 + i) if i % 2 == 0 else gray_image(20, 20, 10 + i) for i in range(count)]
    grid = image_grid(images, columns)
    assert grid.shape == (*expected, 3)
    for i, image in enumerate(images):
        assert (grid[..., 0] == 10 + i).sum() == image.shape[0] * image.shape[1]


def test_draw_targets_and_detections_draws_them_side_by_side() -> None:
    rgb = gray_image(400, 360)
    targets, detections = (
        LabeledBoxes(np.array([[50.0, 90, 200, 250]]), [1]),
        LabeledBoxes(np.array([[60.0, 95, 205, 255]]), [2], [0.8]),
    )
    both = draw_targets_and_detections(rgb, targets, detections, ["a", "b"])
    left, right = np.split(both, [both.shape[1] // 2], axis=1)
    for half, label, other in ((left, 1, 2), (right, 2, 1)):
        assert (half == class_color(label)).all(axis=2).any()
        assert not (half == class_color(other)).all(axis=2).any()
        assert (half[:30] < 100).any()  # a title
    assert both.shape[0] > 400 + 20


@pytest.mark.parametrize(("name", "tolerance"), [("a.png", 0), ("b.jpg", 3), ("c.JPEG", 3)])
def test_save_image_writes_an_image_that_reads_back(tmp_path: Path, name: str, tolerance: int) -> None:
    rgb = np.broadcast_to(np.array([200, 120, 40], np.uint8), (30, 40, 3)).copy()
    save_image(tmp_path / "new" / name, rgb)
    back = cv2.imread(str(tmp_path / "new" / name))
    assert back is not None
    assert np.abs(back[..., ::-1].astype(int) - rgb).max() <= tolerance
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.gif", "a", "a.pngg"])
def test_save_image_with_another_suffix_raises_user_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=name):
        save_image(tmp_path / name, gray_image(3, 3))
    assert list(tmp_path.iterdir()) == []


def test_masks_are_painted_half_transparently_in_the_color_of_their_class() -> None:
    mask = np.zeros((400, 500), bool)
    mask[100:200, 100:300] = True
    boxes = np.array([[100.0, 100, 300, 200]])
    plain = draw_detections(gray_image(400, 500), LabeledBoxes(boxes, [2]), ["cat", "dog"])
    drawn = draw_detections(gray_image(400, 500), LabeledBoxes(boxes, [2], masks=mask[None]), ["cat", "dog"])
    expected = [(90 + channel) // 2 for channel in class_color(2)]
    assert drawn[170, 250].tolist() == expected
    np.testing.assert_array_equal(drawn[~mask], plain[~mask])
    small = draw_detections(
        gray_image(40, 50), LabeledBoxes(boxes / 10, [2], masks=mask[None, ::10, ::10]), ["cat", "dog"]
    )
    assert small[17 * 7, 25 * 7].tolist() == expected
    assert small[5, 5].tolist() == [90, 90, 90]


def test_of_overlapping_masks_the_best_score_is_on_top() -> None:
    masks = np.ones((2, 400, 500), bool)
    boxes = np.array([[0.0, 0, 500, 400]] * 2)
    drawn = draw_detections(gray_image(400, 500), LabeledBoxes(boxes, [1, 2], [0.9, 0.5], masks), ["cat", "dog"])
    below = [(90 + channel) // 2 for channel in class_color(2)]
    assert drawn[200, 250].tolist() == [(a + b) // 2 for a, b in zip(below, class_color(1), strict=True)]


def test_masks_of_another_number_are_refused() -> None:
    with pytest.raises(ValueError, match=r"LabeledBoxes.masks: expected 1, found 2"):
        LabeledBoxes(np.zeros((1, 4)), [1], masks=np.zeros((2, 4, 4), bool))
