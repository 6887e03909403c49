from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from detect.config.builders.data import read_splits
from detect.config.files import parse_config, with_overrides
from detect.data.annotations import Annotations, ImageAnnotation
from detect.data.loading.loader import training_loader
from detect.data.loading.transforms import Augment
from detect.data.masks import PackedMasks, PolygonMask
from detect.data.slices import TrainingSlices, count_unshown, slice_annotations
from detect.errors import UserError
from detect.ops.preprocess import Preprocess
from tests.conftest import TINY

BOXES = np.array([[5.0, 5, 25, 25], [90, 10, 110, 30], [150, 60, 190, 95]])
OUTSIDE = np.array([[-140.0, 10, 60, 40]])  # 60 of its 200 columns are in the photo, and in the first slice
SLICES = TrainingSlices(slice_size=(50, 100), overlap=0.0, min_visibility=0.6, empty=0.0, whole=False)


CROWD = np.array([[0.0, 0, 200, 100]])


def photo(folder: Path, boxes: np.ndarray = BOXES, crowds: int = 0) -> Annotations:
    """One photo of 200 x 100 pixels; the first ``crowds`` of its boxes are crowds."""
    rgb = np.zeros((100, 200, 3), np.uint8)
    for label, (x1, y1, x2, y2) in enumerate(boxes.astype(int).clip(0), start=1):
        rgb[y1:y2, x1:x2] = 50 * label
    cv2.imwrite(str(folder / "a.png"), rgb[:, :, ::-1])
    rings = [(x1, y1, x2, y1, x2, y2, x1, y2) for x1, y1, x2, y2 in boxes.tolist()]
    flags = np.zeros(len(boxes), bool)
    image = ImageAnnotation(
        file=str(folder / "a.png"),
        image_id=7,
        size=(100, 200),
        boxes=boxes,
        labels=np.arange(len(boxes)) + 1,
        difficult=flags,
        crowd=np.arange(len(boxes)) < crowds,
        areas=np.prod(boxes[:, 2:] - boxes[:, :2], axis=1),
        masks=PackedMasks.pack([PolygonMask((ring,)) for ring in rings]),
    )
    return Annotations.from_images([image], ("a", "b", "c", "d"))


def load(annotations: Annotations, keys: list[int]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The pixels, boxes and masks of images as the training loader gives them, without changes."""
    preprocess = Preprocess(50, 1000, mean=(0, 0, 0), std=(1 / 255, 1 / 255, 1 / 255), divisor=1)
    augment = Augment(flip=0.0)
    batches = training_loader(annotations, preprocess, augment, [[(0, key, 50)] for key in keys], 0, 0)
    loaded = []
    for batch in batches:
        masks = batch.targets[0].masks
        assert masks is not None
        loaded.append((batch.images.pixels[0].numpy()[0], batch.targets[0].boxes.numpy(), masks.numpy()))
    return loaded


def test_slices_have_the_objects_that_they_show_and_their_pixels(tmp_path: Path) -> None:
    sliced = slice_annotations(photo(tmp_path), SLICES, 0)
    assert [sliced[i].window for i in range(len(sliced))] == [(0, 0, 100, 50), (100, 50, 200, 100)]
    assert [sliced[i].boxes.tolist() for i in range(2)] == [[[5, 5, 25, 25]], [[50, 10, 90, 45]]]
    assert [sliced[i].labels.tolist() for i in range(2)] == [[1], [3]]
    assert sliced.image_ids.tolist() == [8, 9]
    assert sliced.sizes.tolist() == [[50, 100]] * 2
    for (pixels, boxes, masks), label in zip(load(sliced, [0, 1]), (1, 3), strict=True):
        ((x1, y1, x2, y2),) = boxes.astype(int)
        expected = np.zeros((50, 100))
        expected[y1:y2, x1:x2] = 50 * label
        if label == 1:  # the other object is cut by its border, in which it shows too little
            assert pixels[10:30, 90:].tolist() == np.full((20, 10), 100.0).tolist()
            expected[10:30, 90:] = 100
        np.testing.assert_allclose(pixels, expected, atol=1e-3)
        np.testing.assert_array_equal(masks[0], (expected == 50 * label))


def test_of_an_object_that_reaches_outside_the_part_in_the_image_counts(tmp_path: Path) -> None:
    sliced = slice_annotations(photo(tmp_path, OUTSIDE), SLICES, 0)
    assert [(sliced[i].window, sliced[i].boxes.tolist()) for i in range(len(sliced))] == [
        ((0, 0, 100, 50), [[0, 10, 60, 40]])
    ]


@pytest.mark.parametrize(
    ("crowds", "min_visibility", "empty", "whole", "expected"),
    [
        (0, 0.6, 0.0, False, [1, 1]),
        (0, 0.5, 0.0, False, [2, 1, 1]),  # a half of the second object in each of two slices
        (0, 0.6, 0.5, False, [1, 1, 0]),
        (0, 0.6, 1.0, False, [1, 1, 0, 0]),
        (0, 0.6, 0.0, True, [3, 1, 1]),
        (1, 0.6, 0.0, False, [2, 2]),  # a crowd is in every slice, a quarter of it in each
        (1, 0.6, 0.5, False, [2, 2, 1]),  # and one with nothing else has no object
    ],
)
def test_visible_share_empty_slices_and_whole_images(
    crowds: int, min_visibility: float, empty: float, whole: bool, expected: list[int], tmp_path: Path
) -> None:
    slices = TrainingSlices((50, 100), 0.0, min_visibility, empty, whole)
    annotations = photo(tmp_path, np.concatenate([CROWD[:crowds], BOXES]), crowds)
    sliced = slice_annotations(annotations, slices, 0)
    counts = np.diff(sliced.offsets).tolist()
    assert sorted(counts, reverse=True) == sorted(expected, reverse=True)
    assert len(set(sliced.image_ids.tolist())) == len(sliced)
    assert np.diff(sliced.offsets).min() >= crowds == sliced.crowd.sum() / len(sliced)
    again = slice_annotations(annotations, slices, 0)
    assert [again[i].window for i in range(len(again))] == [sliced[i].window for i in range(len(sliced))]


def test_small_images_and_images_without_objects_stay(tmp_path: Path) -> None:
    whole = TrainingSlices((500, 500), 0.2, 0.4, 0.1, False)
    sliced = slice_annotations(photo(tmp_path), whole, 0)
    assert (len(sliced), sliced[0].window, sliced.windows) == (1, None, None)
    empty = slice_annotations(photo(tmp_path, BOXES[:0]), SLICES, 0)
    assert len(empty) == 0


def test_an_image_smaller_than_labelled_is_unreadable(tmp_path: Path) -> None:
    sliced = slice_annotations(photo(tmp_path), SLICES, 0)
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((60, 200, 3), np.uint8))
    preprocess = Preprocess(50, 1000, divisor=1)
    (batch,) = training_loader(sliced, preprocess, Augment(flip=0.0), [[(0, 1, 50)]], 0, 0)
    assert batch.unreadable == (
        f"{tmp_path}/a.png: expected 200 x 100 pixels or more, as labelled, for a slice, found 200 x 60",
    )


def test_settings_make_slices_of_the_training_split_only(shapes_root: Path) -> None:
    config = with_overrides(parse_config(TINY, "tiny"), [f"data.root={shapes_root}"])
    whole, sliced = read_splits(config), read_splits(with_overrides(config, ["data.slice.size=[96,64]"]))
    assert len(sliced.train) > len(whole.train) == 12
    assert len(sliced.val) == len(whole.val)
    assert sliced.notes[-1] == f"slices: {len(sliced.train)} images to train on, with slices, of 12"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.kind=fast_rcnn", "model.proposals=selective_search"], "expected null without an RPN"),
        (["train.recipe=alternating"], "expected null with train.recipe alternating"),
    ],
)
def test_slices_are_refused_where_proposals_are_those_of_whole_images(
    overrides: list[str], message: str, shapes_root: Path
) -> None:
    config = with_overrides(parse_config(TINY, "tiny"), [f"data.root={shapes_root}", *overrides])
    assert len(read_splits(config).train) == 12
    with pytest.raises(UserError, match=rf"^data\.slice\.size: {message}.* found 64"):
        read_splits(with_overrides(config, ["data.slice.size=64"]))


@pytest.mark.parametrize(
    ("boxes", "crowds", "min_visibility", "expected"),
    [
        (np.zeros((0, 4)), 0, 0.6, 0),
        (BOXES, 0, 0.6, 1),
        (BOXES, 0, 0.5, 0),
        (BOXES, 0, 1.0, 1),
        (OUTSIDE, 0, 0.6, 0),
        (CROWD, 0, 0.6, 1),
        (CROWD, 1, 0.6, 0),
    ],
)
def test_objects_that_no_slice_shows_are_counted(
    boxes: np.ndarray, crowds: int, min_visibility: float, expected: int, tmp_path: Path
) -> None:
    # The seam at x = 100 cuts the second object in half; the others lie in one slice each.
    assert count_unshown(photo(tmp_path, boxes, crowds), replace(SLICES, min_visibility=min_visibility)) == expected
