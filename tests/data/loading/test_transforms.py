from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.data.loading.crop_boxes import clip_to_window, hflip_boxes, visible_fraction
from detect.data.loading.transforms import (
    Augment,
    Example,
    ImageProposals,
    Transform,
    clip_boxes,
    resize_example,
    resize_masks,
)
from detect.ops.preprocess import Preprocess

SMALL = Preprocess(min_size=48, max_size=96)
FULL = Transform(SMALL, Augment(flip=0.5, crop=0.8, color_jitter=0.4))
FLIP = Transform(SMALL, Augment(flip=1.0))
CROP = Transform(Preprocess(min_size=1000, max_size=1000), Augment(flip=0.0, crop=1.0))
FLIP_AND_CROP = Transform(Preprocess(min_size=100, max_size=1000), Augment(flip=0.5, crop=0.8))


def example(boxes: object = (), size: tuple[int, int] = (60, 90), proposals: object = None, seed: int = 0) -> Example:
    box_array = np.asarray(boxes, np.float32).reshape(-1, 4)
    count = len(box_array)
    image_proposals = None
    if proposals is not None:
        rows = np.asarray(proposals, np.float32).reshape(-1, 4)
        image_proposals = ImageProposals(rows, np.linspace(1, 0, len(rows), dtype=np.float32))
    rgb = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    labels = np.arange(1, count + 1)
    return Example(rgb, box_array, labels, np.zeros(count, bool), np.zeros(count, bool), image_proposals)


@st.composite
def examples(draw: st.DrawFn) -> Example:
    size = draw(st.tuples(st.integers(20, 90), st.integers(20, 90)))
    coordinate = st.floats(-30, 120, width=32)
    box = st.tuples(coordinate, coordinate, st.floats(0.125, 90, width=32), st.floats(0.125, 90, width=32))
    boxes = np.asarray(draw(st.lists(box, max_size=5)), np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return example(boxes, size, boxes[::-1].copy())


def is_same(a: Example, b: Example) -> bool:
    fields = [dataclasses.astuple(side) for side in (a, b)]
    flat = [[*rest, *(proposals or ()), masks is None, masks] for *rest, proposals, masks in fields]
    return len(flat[0]) == len(flat[1]) and all(np.array_equal(x, y) for x, y in zip(*flat, strict=True))


@given(examples(), st.integers(0, 2**63 - 1))
@settings(max_examples=40, deadline=None)
def test_masks_stay_on_their_boxes(image: Example, seed: int) -> None:
    """A mask of all pixels of a box of whole pixels still fills the box, but for half a pixel at each edge."""
    height, width = image.size
    boxes = np.clip(image.boxes.round(), 0, [width, height, width, height]).astype(np.float32)
    masks = np.zeros((len(boxes), height, width), bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.astype(int), strict=True):
        mask[y1:y2, x1:x2] = True
    plain, masked = dataclasses.replace(image, boxes=boxes), dataclasses.replace(image, boxes=boxes, masks=masks)
    transformed = FULL(masked, seed)
    assert transformed.masks is not None
    assert is_same(FULL(plain, seed), dataclasses.replace(transformed, masks=None))
    assert transformed.masks.shape == (len(transformed.boxes), *transformed.size)
    for mask, box in zip(transformed.masks, transformed.boxes, strict=True):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if min(box[2:] - box[:2]) > 1:
            around = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            np.testing.assert_allclose(around, box, atol=0.51)
            assert mask.sum() == len(rows) * len(columns)


def test_resize_masks_takes_the_pixel_of_each_center() -> None:
    mask = np.arange(12).reshape(1, 3, 4) % 2 == 0
    np.testing.assert_array_equal(resize_masks(mask, (6, 8)), mask.repeat(2, axis=1).repeat(2, axis=2))
    np.testing.assert_array_equal(resize_masks(mask.repeat(3, axis=1).repeat(3, axis=2), (3, 4)), mask)
    assert resize_masks(np.zeros((0, 3, 4), bool), (6, 8)).shape == (0, 6, 8)


@given(examples(), st.integers(0, 2**63 - 1))
@settings(max_examples=40, deadline=None)
def test_transform_keeps_boxes_inside_and_with_extent(image: Example, seed: int) -> None:
    transformed = FULL(image, seed)
    height, width = transformed.size
    assert max(transformed.size) <= 96
    assert transformed.proposals is not None
    for boxes in (transformed.boxes, transformed.proposals.boxes):
        assert boxes.dtype == np.float32
        assert (boxes >= 0).all()
        assert (boxes <= [width, height, width, height]).all()
        assert (boxes[:, 2:] - boxes[:, :2] > 0).all()
    assert len(transformed.boxes) == len(transformed.labels) == len(transformed.difficult) == len(transformed.crowd)
    assert len(transformed.proposals.boxes) == len(transformed.proposals.scores)
    assert set(transformed.labels) <= set(image.labels)
    assert (np.diff(transformed.proposals.scores) <= 0).all()


@given(examples(), st.integers(0, 2**63 - 1))
@settings(max_examples=20, deadline=None)
def test_transform_depends_on_the_seed_only(image: Example, seed: int) -> None:
    first = FULL(image, seed)
    FULL(image, seed + 1)
    assert is_same(first, FULL(image, seed))
    assert is_same(first, pickle.loads(pickle.dumps(FULL))(image, seed))


def test_transform_differs_between_seeds() -> None:
    image = example([[10, 10, 50, 50]])
    assert len({FULL(image, seed).rgb.tobytes() for seed in range(20)}) == 20


def test_transform_draws_flip_and_brightness_independently() -> None:
    image = dataclasses.replace(example(), rgb=np.tile(np.arange(90, dtype=np.uint8)[:, None] + 80, (60, 1, 3)))
    jitter = Transform(SMALL, Augment(flip=0.5, color_jitter=0.4))
    images = [jitter(image, seed).rgb for seed in range(200)]
    flipped = np.asarray([rgb[0, 0].mean() > rgb[0, -1].mean() for rgb in images])
    bright = np.asarray([rgb.mean() > 124 for rgb in images])
    assert 0.4 < flipped.mean() < 0.6
    assert abs(np.corrcoef(flipped, bright)[0, 1]) < 0.2


@pytest.mark.parametrize("size", [(1, 1), (60, 90), (48, 72), (200, 31)])
@pytest.mark.parametrize("min_size", [None, 33])
def test_transform_of_identity_augment_only_resizes(size: tuple[int, int], min_size: int | None) -> None:
    image = example([[0, 0, 1, 1]], size)
    transformed = Transform(SMALL, Augment(flip=0, crop=0, color_jitter=0))(image, 5, min_size)
    expected = SMALL.normalize(SMALL.resize(image.rgb, min_size))
    assert torch.equal(SMALL.normalize(transformed.rgb), expected)
    assert np.array_equal(transformed.boxes, resize_example(clip_boxes(image), SMALL, min_size).boxes)


@given(examples())
@settings(max_examples=30, deadline=None)
def test_transform_flipped_twice_is_the_identity(image: Example) -> None:
    straight = resize_example(clip_boxes(image), SMALL)
    once = FLIP(image, 0)
    twice = FLIP(
        dataclasses.replace(straight, rgb=once.rgb, boxes=once.boxes, labels=once.labels, proposals=once.proposals), 1
    )
    assert np.array_equal(once.rgb, straight.rgb[:, ::-1])
    assert np.array_equal(twice.rgb, straight.rgb)
    assert np.allclose(twice.boxes, straight.boxes, atol=1e-4)


def test_hflip_boxes() -> None:
    assert hflip_boxes(np.asarray([[0.0, 1, 3, 4]]), 10).tolist() == [[7, 1, 10, 4]]


@given(st.integers(0, 60), st.integers(0, 35), st.integers(12, 30), st.integers(12, 25), st.integers(0, 2**63 - 1))
@settings(max_examples=40, deadline=None)
def test_transform_moves_pixels_and_boxes_alike(x: int, y: int, width: int, height: int, seed: int) -> None:
    rgb = np.zeros((60, 90, 3), np.uint8)
    rgb[y : y + height, x : x + width] = 255
    box = [x, y, min(90, x + width), min(60, y + height)]
    image = dataclasses.replace(example([box], proposals=[box]), rgb=rgb)
    transformed = FLIP_AND_CROP(image, seed)
    rows, columns = np.nonzero(transformed.rgb[:, :, 0] > 127)
    painted = np.asarray([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    assert transformed.proposals is not None
    assert np.abs(transformed.boxes[0] - painted).max() <= 1.0
    assert np.array_equal(transformed.boxes, transformed.proposals.boxes)


@pytest.mark.parametrize(
    "boxes",
    [
        pytest.param([[5, 5, 15, 15], [70, 40, 85, 55], [20, 0, 60, 60]], id="inside"),
        pytest.param([[-140, 5, 60, 45]], id="mostly outside the image"),
    ],
)
@pytest.mark.parametrize("seed", range(30))
def test_transform_crop_keeps_an_object(seed: int, boxes: list[list[int]]) -> None:
    image = example(boxes)
    transformed = CROP(image, seed)
    assert len(transformed.labels) >= 1
    assert transformed.rgb.shape[0] / transformed.rgb.shape[1] == pytest.approx(60 / 90, rel=0.45)


@pytest.mark.parametrize("seed", range(30))
def test_transform_crop_keeps_a_crowd_that_is_visible_at_all(seed: int) -> None:
    crowds = np.asarray([True, False])
    image = dataclasses.replace(example([[0, 0, 90, 60], [40, 25, 50, 35]]), crowd=crowds)
    transformed = CROP(image, seed)
    (crowd,) = transformed.boxes[transformed.crowd]
    np.testing.assert_allclose(crowd, [0, 0, *transformed.size[::-1]], atol=1e-3)


@pytest.mark.parametrize(
    ("boxes", "window", "fraction"),
    [
        (np.zeros((0, 4)), (0, 0, 5, 5), []),
        (np.asarray([[0.0, 0, 10, 10]]), (5, 5, 9, 50), [0.2]),
        (np.asarray([[0.0, 0, 10, 10], [3, 3, 3, 9]]), (20, 20, 30, 30), [0, 0]),
    ],
)
def test_visible_fraction(boxes: np.ndarray, window: tuple[int, int, int, int], fraction: list[float]) -> None:
    assert visible_fraction(boxes, window).tolist() == fraction
    assert clip_to_window(boxes, window).shape == boxes.shape


def test_clip_boxes_removes_boxes_outside() -> None:
    transformed = clip_boxes(
        example([[-5, -5, 10, 10], [90, 0, 99, 9], [10, 60, 20, 70]], proposals=[[95, 0, 99, 9], [80, 0, 99, 9]])
    )
    assert transformed.boxes.tolist() == [[0, 0, 10, 10]]
    assert transformed.labels.tolist() == [1]
    assert transformed.proposals is not None
    assert transformed.proposals.boxes.tolist() == [[80, 0, 90, 9]]
    assert transformed.proposals.scores.tolist() == [0.0]


def test_color_jitter_keeps_boxes_and_size() -> None:
    image = example([[5, 5, 40, 40]], (48, 72))
    transformed = Transform(SMALL, Augment(flip=0, color_jitter=0.5))(image, 3)
    assert transformed.rgb.shape == image.rgb.shape
    assert not np.array_equal(transformed.rgb, image.rgb)
    assert np.array_equal(transformed.boxes, image.boxes)
