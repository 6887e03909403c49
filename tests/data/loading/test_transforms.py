from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.data.loading.crop_boxes import mirrored, through, visible_share
from detect.data.loading.transforms import Augment, Example, Given, Transform, clipped, resized
from detect.ops.preprocess import Preprocess

SMALL = Preprocess(min_size=48, max_size=96)
FULL = Transform(SMALL, Augment(flip=0.5, crop=0.8, colour=0.4))
FLIP = Transform(SMALL, Augment(flip=1.0))
CROP = Transform(Preprocess(min_size=1000, max_size=1000), Augment(flip=0.0, crop=1.0))
MOVE = Transform(Preprocess(min_size=100, max_size=1000), Augment(flip=0.5, crop=0.8))


def example(boxes: object = (), size: tuple[int, int] = (60, 90), proposals: object = None, seed: int = 0) -> Example:
    found = np.asarray(boxes, np.float32).reshape(-1, 4)
    count = len(found)
    extra = None
    if proposals is not None:
        rows = np.asarray(proposals, np.float32).reshape(-1, 4)
        extra = Given(rows, np.linspace(1, 0, len(rows), dtype=np.float32))
    rgb = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    labels = np.arange(1, count + 1)
    return Example(rgb, found, labels, np.zeros(count, bool), np.zeros(count, bool), extra)


@st.composite
def examples(draw: st.DrawFn) -> Example:
    size = draw(st.tuples(st.integers(20, 90), st.integers(20, 90)))
    number = st.floats(-30, 120, width=32)
    box = st.tuples(number, number, st.floats(0.125, 90, width=32), st.floats(0.125, 90, width=32))
    boxes = np.asarray(draw(st.lists(box, max_size=5)), np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return example(boxes, size, boxes[::-1].copy())


def same(a: Example, b: Example) -> bool:
    fields = [dataclasses.astuple(side) for side in (a, b)]
    flat = [[*side[:-1], *(side[-1] or ())] for side in fields]
    return len(flat[0]) == len(flat[1]) and all(np.array_equal(x, y) for x, y in zip(*flat, strict=True))


@given(examples(), st.integers(0, 2**63 - 1))
@settings(max_examples=60, deadline=None)
def test_every_box_is_inside_and_has_extent(image: Example, root: int) -> None:
    found = FULL(image, root)
    height, width = found.size
    assert max(found.size) <= 96
    assert found.given is not None
    for boxes in (found.boxes, found.given.boxes):
        assert boxes.dtype == np.float32
        assert (boxes >= 0).all()
        assert (boxes <= [width, height, width, height]).all()
        assert (boxes[:, 2:] - boxes[:, :2] > 0).all()
    assert len(found.boxes) == len(found.labels) == len(found.difficult) == len(found.crowd)
    assert len(found.given.boxes) == len(found.given.scores)
    assert set(found.labels) <= set(image.labels)
    assert (np.diff(found.given.scores) <= 0).all()


@given(examples(), st.integers(0, 2**63 - 1))
@settings(max_examples=20, deadline=None)
def test_the_key_alone_decides(image: Example, root: int) -> None:
    first = FULL(image, root)
    FULL(image, root + 1)
    assert same(first, FULL(image, root))
    assert same(first, pickle.loads(pickle.dumps(FULL))(image, root))


def test_keys_differ() -> None:
    image = example([[10, 10, 50, 50]])
    assert len({FULL(image, root).rgb.tobytes() for root in range(20)}) == 20


def test_flips_and_brightness_are_independent() -> None:
    image = dataclasses.replace(example(), rgb=np.tile(np.arange(90, dtype=np.uint8)[:, None] + 80, (60, 1, 3)))
    light = Transform(SMALL, Augment(flip=0.5, colour=0.4))
    found = [light(image, root).rgb for root in range(200)]
    flipped = np.asarray([rgb[0, 0].mean() > rgb[0, -1].mean() for rgb in found])
    bright = np.asarray([rgb.mean() > 124 for rgb in found])
    assert 0.4 < flipped.mean() < 0.6
    assert abs(np.corrcoef(flipped, bright)[0, 1]) < 0.2


@pytest.mark.parametrize("size", [(1, 1), (60, 90), (48, 72), (200, 31)])
@pytest.mark.parametrize("min_size", [None, 33])
def test_off_is_only_the_resize(size: tuple[int, int], min_size: int | None) -> None:
    image = example([[0, 0, 1, 1]], size)
    found = Transform(SMALL, Augment(flip=0, crop=0, colour=0))(image, 5, min_size)
    want = SMALL.normalise(SMALL.resize(image.rgb, min_size))
    assert torch.equal(SMALL.normalise(found.rgb), want)
    assert np.array_equal(found.boxes, resized(clipped(image), SMALL, min_size).boxes)


@given(examples())
@settings(max_examples=30, deadline=None)
def test_two_flips_undo_each_other(image: Example) -> None:
    straight = resized(clipped(image), SMALL)
    once = FLIP(image, 0)
    twice = FLIP(dataclasses.replace(straight, rgb=once.rgb, boxes=once.boxes, labels=once.labels, given=once.given), 1)
    assert np.array_equal(once.rgb, straight.rgb[:, ::-1])
    assert np.array_equal(twice.rgb, straight.rgb)
    assert np.allclose(twice.boxes, straight.boxes, atol=1e-4)


def test_flip_of_a_continuous_box() -> None:
    assert mirrored(np.asarray([[0.0, 1, 3, 4]]), 10).tolist() == [[7, 1, 10, 4]]


@given(st.integers(0, 60), st.integers(0, 35), st.integers(12, 30), st.integers(12, 25), st.integers(0, 2**63 - 1))
@settings(max_examples=60, deadline=None)
def test_pixels_move_with_their_box(x: int, y: int, width: int, height: int, root: int) -> None:
    rgb = np.zeros((60, 90, 3), np.uint8)
    rgb[y : y + height, x : x + width] = 255
    box = [x, y, min(90, x + width), min(60, y + height)]
    image = dataclasses.replace(example([box], proposals=[box]), rgb=rgb)
    found = MOVE(image, root)
    rows, columns = np.nonzero(found.rgb[:, :, 0] > 127)
    painted = np.asarray([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    assert found.given is not None
    assert np.abs(found.boxes[0] - painted).max() <= 1.0
    assert np.array_equal(found.boxes, found.given.boxes)


@pytest.mark.parametrize("root", range(30))
def test_crop_keeps_an_object_in_view(root: int) -> None:
    image = example([[5, 5, 15, 15], [70, 40, 85, 55], [20, 0, 60, 60]])
    found = CROP(image, root)
    assert len(found.labels) >= 1
    assert found.rgb.shape[0] / found.rgb.shape[1] == pytest.approx(60 / 90, rel=0.45)


@pytest.mark.parametrize(
    ("boxes", "window", "share"),
    [
        (np.zeros((0, 4)), (0, 0, 5, 5), []),
        (np.asarray([[0.0, 0, 10, 10]]), (5, 5, 9, 50), [0.2]),
        (np.asarray([[0.0, 0, 10, 10], [3, 3, 3, 9]]), (20, 20, 30, 30), [0, 0]),
    ],
)
def test_visible_share(boxes: np.ndarray, window: tuple[int, int, int, int], share: list[float]) -> None:
    assert visible_share(boxes, window).tolist() == share
    assert through(boxes, window).shape == boxes.shape


def test_what_lies_outside_is_removed() -> None:
    found = clipped(
        example([[-5, -5, 10, 10], [90, 0, 99, 9], [10, 60, 20, 70]], proposals=[[95, 0, 99, 9], [80, 0, 99, 9]])
    )
    assert found.boxes.tolist() == [[0, 0, 10, 10]]
    assert found.labels.tolist() == [1]
    assert found.given is not None
    assert found.given.boxes.tolist() == [[80, 0, 90, 9]]
    assert found.given.scores.tolist() == [0.0]


def test_colour_keeps_boxes_and_size() -> None:
    image = example([[5, 5, 40, 40]], (48, 72))
    found = Transform(SMALL, Augment(flip=0, colour=0.5))(image, 3)
    assert found.rgb.shape == image.rgb.shape
    assert not np.array_equal(found.rgb, image.rgb)
    assert np.array_equal(found.boxes, image.boxes)
