from __future__ import annotations

import numpy as np
import pytest
import torch

from detect.data.annotations import Annotations, ImageAnnotation
from detect.data.inspect.anchor_recall import ScaledObjects
from detect.data.inspect.statistics import AnchorConfig
from detect.ops.anchors import AnchorGenerator
from detect.ops.boxes import iou
from detect.ops.preprocess import Preprocess
from detect.training.finetuning.objects import (
    ImageSizes,
    adapt_anchors,
    choose_factor,
    choose_for_objects,
    reach,
)

SIDE = 400  # of an image, in pixels
ANCHORS = AnchorConfig(AnchorGenerator(((32, 64, 128),), (0.5, 1.0, 2.0)), (16,), None)


def annotations_of(sides: list[tuple[float, float]]) -> Annotations:
    """Return images with one object (w, h) each."""
    images = []
    for index, (width, height) in enumerate(sides):
        x, y = (13 * index) % 40, (29 * index) % 50
        box = np.array([[x, y, x + width, y + height]], float)
        images.append(
            ImageAnnotation(
                file=f"/photos/{index}.jpg",
                image_id=index + 1,
                size=(SIDE, SIDE),
                boxes=box,
                labels=np.array([1]),
                difficult=np.zeros(1, bool),
                crowd=np.zeros(1, bool),
                areas=np.array([width * height]),
            )
        )
    return Annotations.from_images(images, ["thing"])


def objects_of(sides: list[tuple[float, float]]) -> ScaledObjects:
    boxes = annotations_of(sides).boxes
    return ScaledObjects(boxes, np.full((len(boxes), 2), float(SIDE)), np.ones(len(boxes), int))


SIDES: list[list[tuple[float, float]]] = [
    [],
    [(64, 64)],
    [(10, 10)],
    [(32, 32), (10, 10), (128, 128), (300, 300)],
    [(20, 90), (90, 20)],
]


@pytest.mark.parametrize("sides", SIDES)
def test_reach_is_that_of_all_anchors_of_the_image(sides: list[tuple[float, float]]) -> None:
    objects = objects_of(sides)
    cells = SIDE // 16
    anchors = ANCHORS.generator.grid_anchors(0, (cells, cells), 16, torch.device("cpu"), torch.float64)
    reached = [float(iou(torch.from_numpy(box[None]), anchors).max()) >= 0.5 for box in objects.boxes]
    assert reach(objects, ANCHORS) == (np.mean(reached) if reached else 1.0)


FACTORS: list[tuple[str, dict[float, float], float]] = [
    ("enough as it is", {1.0: 0.95}, 1.0),
    ("the nearest that is enough", {1.0: 0.9, 1.25: 0.94, 0.8: 0.96, 1.5: 1.0}, 0.8),
    ("none is enough: the best", {1.0: 0.5, 1.25: 0.7, 0.8: 0.2, 1.5: 0.6}, 1.25),
    ("none is much better", {1.0: 0.5, 1.25: 0.51, 0.8: 0.2, 1.5: 0.5}, 1.0),
]


@pytest.mark.parametrize(("reach_at", "factor"), [case[1:] for case in FACTORS], ids=[case[0] for case in FACTORS])
def test_image_size_is_the_nearest_at_which_the_anchors_reach_enough(
    reach_at: dict[float, float], factor: float
) -> None:
    assert choose_factor(reach_at.__getitem__, reach_at) == factor


ADAPTED: list[tuple[str, list[tuple[float, float]]]] = [
    ("small", [(side, side) for side in range(12, 22)]),
    ("large", [(side, side) for side in range(200, 320, 8)]),
    ("wide", [(8 * side, side) for side in range(10, 40, 3)]),
    ("one size", [(16, 16)] * 5),
]


@pytest.mark.parametrize(("sides"), [case[1] for case in ADAPTED], ids=[case[0] for case in ADAPTED])
@pytest.mark.parametrize("per_map", [False, True])
def test_anchors_are_stretched_to_the_objects_and_stay_as_many(sides: list[tuple[float, float]], per_map: bool) -> None:
    pyramid = AnchorConfig(AnchorGenerator(((32,), (64,), (128,)), (0.5, 1.0, 2.0)), (4, 8, 16), None)
    anchors, objects = pyramid if per_map else ANCHORS, objects_of(sides)
    adapted = adapt_anchors(objects, anchors)
    assert list(map(len, adapted.sizes)) == list(map(len, anchors.generator.sizes))
    assert len(adapted.aspect_ratios) == 3
    flat = [size for level in adapted.sizes for size in level]
    assert flat == sorted(flat)
    after = reach(objects, AnchorConfig(adapted, anchors.strides, None))
    assert after > reach(objects, anchors) + 0.02


def test_anchors_keep_their_order() -> None:
    anchors = AnchorConfig(AnchorGenerator(((128, 32, 64),), (1.0, 2.0, 0.5)), (16,), None)
    adapted = adapt_anchors(objects_of([(4 * side, side) for side in range(12, 60, 3)]), anchors)
    assert [int(rank) for rank in np.argsort(adapted.aspect_ratios)] == [2, 0, 1]
    assert adapted.sizes[0][0] >= adapted.sizes[0][2] >= adapted.sizes[0][1]


def test_anchors_that_reach_all_stay() -> None:
    assert adapt_anchors(objects_of([(64, 64), (32, 32), (120, 120)]), ANCHORS) == ANCHORS.generator


# sides of the objects, what is free (size, anchors) -> the settings that are chosen
CHOSEN: list[tuple[list[tuple[float, float]], tuple[bool, bool], dict[str, object]]] = [
    ([], (True, True), {}),
    ([(64, 64)], (True, True), {}),
    ([(20, 20)], (True, True), {"data.min_size": (375, 500), "data.max_size": 625}),
    ([(20, 20)], (False, False), {}),
    ([(16, 16)] * 4, (False, True), {"model.rpn.anchor_sizes": (13.0, 16.0, 19.0)}),
]


@pytest.mark.parametrize(("sides", "free", "settings"), CHOSEN)
def test_size_of_images_is_adapted_before_the_anchors(
    sides: list[tuple[float, float]], free: tuple[bool, bool], settings: dict[str, object]
) -> None:
    sizes = ImageSizes(preprocess=Preprocess(SIDE, 500), min_sizes=(300, SIDE))
    chosen = choose_for_objects(annotations_of(sides), sizes, ANCHORS, *free)
    assert {choice.key: choice.setting for choice in chosen.choices} == settings
    assert chosen.line.startswith("anchors of the initial model: ")


def test_images_stay_where_other_anchors_are_enough_and_no_size_is() -> None:
    tall = [(float(side), 3.0 * side) for side in range(24, 60, 4)]
    tall += [(float(side), 5.0 * side) for side in range(24, 60, 8)]
    sizes = ImageSizes(preprocess=Preprocess(SIDE, 500), min_sizes=(SIDE,))
    chosen = choose_for_objects(annotations_of(tall), sizes, ANCHORS, True, True)
    assert [choice.key for choice in chosen.choices] == ["model.rpn.aspect_ratios"]
    fixed_anchors = choose_for_objects(annotations_of(tall), sizes, ANCHORS, True, False)
    assert {choice.key for choice in fixed_anchors.choices} == {"data.min_size", "data.max_size"}
