from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.draw import (
    Marks,
    class_colour,
    contact_sheet,
    draw_detections,
    draw_targets_beside,
    place,
    save_image,
    text_colour,
)
from detect.errors import UserError

NONE = Marks(np.zeros((0, 4)), [], [])


def picture(height: int, width: int, value: int = 90) -> np.ndarray:
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
def test_nothing_drawn_is_the_picture_enlarged_if_small(size: tuple[int, int], expected: tuple[int, int]) -> None:
    rgb = picture(*size)
    drawn = draw_detections(rgb, NONE, [])
    np.testing.assert_array_equal(drawn, picture(*expected))
    assert not np.shares_memory(drawn, rgb)


@pytest.mark.parametrize("value", [0, 90, 255])
def test_a_box_is_drawn_where_it_is_and_nowhere_else(value: int) -> None:
    rgb = picture(400, 500, value)
    drawn = draw_detections(rgb, Marks(np.array([[100.0, 80, 300, 240]]), [1], [0.5]), ["dog"])
    colour = np.array(class_colour(1))
    for point in [(82, 200), (238, 200), (160, 101), (160, 298), (238, 298)]:  # the last pixels inside each edge
        line = drawn[point[0] - 2 : point[0] + 2, point[1] - 2 : point[1] + 2].reshape(-1, 3)
        assert (line == colour).all(axis=1).any()
    assert (drawn[100:230, 120:290] == value).all()
    assert (drawn[260:] == value).all()
    assert (drawn[:, 310:] == value).all()
    assert (drawn[79, 150:290] != value).any()  # the caption stands above
    assert (rgb == value).all()


def test_boxes_grow_with_a_small_picture() -> None:
    drawn = draw_detections(picture(100, 160), Marks(np.array([[80.0, 50, 150, 90]]), [1], None), ["a"])
    assert drawn.shape == (200, 320, 3)
    assert tuple(drawn[100, 250]) == class_colour(1)
    assert tuple(drawn[179, 200]) == class_colour(1)


@pytest.mark.parametrize(
    "box",
    [[-50, -60, 900, 700], [390, 290, 400, 300], [0, 0, 0, 0], [500, 500, 600, 600], [-9, -9, -5, -5], [0, 0, 3, 300]],
)
def test_boxes_beyond_the_border_are_clipped(box: list[float]) -> None:
    drawn = draw_detections(picture(300, 400), Marks(np.array([box], float), [2], [1.0]), ["a", "b"])
    assert drawn.shape == (300, 400, 3)
    assert (drawn.reshape(-1, 3) == class_colour(2)).all(axis=1).any()


def test_the_best_score_lies_in_front() -> None:
    boxes = np.array([[50.0, 100, 200, 250], [50, 100, 200, 250]])
    for scores, front in [([0.2, 0.9], 2), ([0.9, 0.2], 1), (None, 1)]:
        drawn = draw_detections(picture(400, 400), Marks(boxes, [1, 2], scores), ["a", "b"])
        assert tuple(drawn[249, 150]) == class_colour(front)


def test_captions_say_class_and_score() -> None:
    marks = Marks(np.zeros((2, 4)), np.array([2, 1]), np.array([0.987, 0.5]))
    assert [marks.text(i, ["cat", "chaise épaisse"]) for i in range(2)] == ["chaise épaisse 0.99", "cat 0.50"]
    assert Marks(np.zeros((1, 4)), [1]).text(0, ["cat"]) == "cat"


@settings(max_examples=60, deadline=None)
@given(
    st.text(max_size=60),
    st.tuples(*[st.integers(-20, 420)] * 4),
    st.tuples(st.integers(1, 400), st.integers(1, 400)),
    st.integers(12, 40),
)
def test_captions_stay_in_the_picture(
    text: str, frame: tuple[int, int, int, int], size: tuple[int, int], letters: int
) -> None:
    x1, y1, x2, y2 = place(text, frame, size, [], letters).at
    assert 0 <= x1 < x2 <= size[0]
    assert 0 <= y1 < y2 <= size[1]


def test_captions_keep_off_each_other() -> None:
    taken: list[tuple[int, int, int, int]] = []
    for _ in range(3):
        spot = place("person 0.99", (100, 100, 300, 300), (500, 500), taken, 14).at
        shared = [
            min(spot[2], at[2]) > max(spot[0], at[0]) and min(spot[3], at[3]) > max(spot[1], at[1]) for at in taken
        ]
        assert not any(shared)
        taken.append(spot)
    assert taken[0][3] == 100


def test_a_caption_wider_than_the_picture_is_cut_short() -> None:
    assert place("a very long name of a class", (0, 0, 50, 50), (90, 90), [], 12).text.endswith("…")
    assert place("two\nlines", (0, 0, 50, 50), (90, 90), [], 12).text == "two lines"


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
def test_text_contrasts_with_its_box(fill: tuple[int, int, int], expected: int) -> None:
    assert text_colour(fill) == (expected,) * 3


def test_class_colours_are_stable_and_distinct() -> None:
    assert [class_colour(label) for label in (0, 1, 2)] == [(128, 128, 128), (255, 51, 51), class_colour(2)]
    rgb = np.array([[class_colour(label) for label in range(21)]], np.float32) / 255
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[0]
    distances = np.linalg.norm(lab[:, None] - lab, axis=2) + 1000 * np.eye(21)
    assert distances.min() > 15  # a difference of 2 is just noticeable
    assert len({class_colour(label) for label in range(200)}) == 200


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Marks(np.zeros(4), []), "boxes"),
        (lambda: Marks(np.zeros((2, 4)), [1]), "labels"),
        (lambda: Marks(np.zeros((2, 4)), [1, 1], [0.5]), "scores"),
        (lambda: draw_detections(np.zeros((5, 5), np.uint8), NONE, []), "picture"),
        (lambda: draw_detections(np.zeros((5, 5, 3)), NONE, []), "picture"),
        (lambda: contact_sheet([], 3), "pictures"),
        (lambda: contact_sheet([picture(2, 2)], 0), "columns"),
    ],
)
def test_what_cannot_be_drawn_is_refused(make, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        make()


@pytest.mark.parametrize(
    ("count", "columns", "expected"),
    [(1, 1, (56, 38)), (1, 4, (56, 38)), (3, 2, (104, 68)), (4, 2, (104, 68)), (5, 2, (152, 68))],
)
def test_a_contact_sheet_holds_every_picture_whole(count: int, columns: int, expected: tuple[int, int]) -> None:
    pictures = [picture(40, 22, 10 + i) if i % 2 == 0 else picture(20, 20, 10 + i) for i in range(count)]
    sheet = contact_sheet(pictures, columns)
    assert sheet.shape == (*expected, 3)
    for i, one in enumerate(pictures):
        assert (sheet[..., 0] == 10 + i).sum() == one.shape[0] * one.shape[1]


def test_targets_and_detections_stand_beside_each_other() -> None:
    rgb = picture(400, 360)
    targets, found = Marks(np.array([[50.0, 90, 200, 250]]), [1]), Marks(np.array([[60.0, 95, 205, 255]]), [2], [0.8])
    both = draw_targets_beside(rgb, targets, found, ["a", "b"])
    left, right = np.split(both, [both.shape[1] // 2], axis=1)
    for half, marks, other in ((left, 1, 2), (right, 2, 1)):
        assert (half == class_colour(marks)).all(axis=2).any()
        assert not (half == class_colour(other)).all(axis=2).any()
        assert (half[:30] < 100).any()  # a title
    assert both.shape[0] > 400 + 20


@pytest.mark.parametrize(("name", "tolerance"), [("a.png", 0), ("b.jpg", 3), ("c.JPEG", 3)])
def test_a_saved_picture_reads_back(tmp_path: Path, name: str, tolerance: int) -> None:
    rgb = np.broadcast_to(np.array([200, 120, 40], np.uint8), (30, 40, 3)).copy()
    save_image(tmp_path / "new" / name, rgb)
    back = cv2.imread(str(tmp_path / "new" / name))
    assert back is not None
    assert np.abs(back[..., ::-1].astype(int) - rgb).max() <= tolerance
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.gif", "a", "a.pngg"])
def test_another_format_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=name):
        save_image(tmp_path / name, picture(3, 3))
    assert list(tmp_path.iterdir()) == []
