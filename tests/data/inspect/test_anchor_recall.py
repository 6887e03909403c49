from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.data.annotations import Annotations, ImageAnnotation
from detect.data.inspect.anchor_advice import suggest_anchors
from detect.data.inspect.anchor_recall import ScaledObjects, best_anchor_iou, scale_objects
from detect.ops.anchors import AnchorGenerator
from detect.ops.boxes import iou
from detect.ops.preprocess import Preprocess


def make_objects(*boxes: tuple[float, float, float, float], side: tuple[int, int] = (160, 120)) -> ScaledObjects:
    table = np.asarray(boxes, np.float64).reshape(-1, 4)
    return ScaledObjects(table, np.tile(np.asarray(side, np.float64), (len(table), 1)), np.ones(len(table), np.int64))


def best_iou_of_all_anchors(
    objects: ScaledObjects, shapes: AnchorGenerator, strides: list[int], allowed_border: float | None
) -> np.ndarray:
    """Every anchor of every map against every object."""
    width, height = objects.image_sides[0]
    best = np.zeros(len(objects.boxes))
    for level, stride in enumerate(strides):
        cells = (-(-int(height) // stride), -(-int(width) // stride))
        anchors = shapes.grid_anchors(level, cells, stride, torch.device("cpu"), torch.float64)
        if allowed_border is not None:
            low, high = (
                anchors[:, :2] >= -allowed_border,
                anchors[:, 2:] <= torch.tensor([width, height]) + allowed_border,
            )
            anchors = anchors[low.all(1) & high.all(1)]
        if len(anchors):
            best = np.maximum(best, iou(anchors, torch.from_numpy(objects.boxes)).max(0).values.numpy())
    return best


def test_best_anchor_iou_of_no_objects_is_empty() -> None:
    assert best_anchor_iou(make_objects(), AnchorGenerator(((16,),)), [16]).shape == (0,)


def test_object_equal_to_an_anchor_has_iou_1() -> None:
    assert best_anchor_iou(make_objects((16, 32, 32, 48)), AnchorGenerator(((16,),), (1.0,)), [16]).tolist() == [1.0]


corner = st.tuples(st.floats(0, 150), st.floats(0, 110), st.floats(1, 150), st.floats(1, 110))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(corner, min_size=1, max_size=5),
    st.sampled_from([None, 0.0, 10.0]),
    st.sampled_from([0.5, 0.0]),
    st.sampled_from([((16.0, 40.0, 200.0),), ((16.0,), (40.0,))]),
)
def test_best_anchor_iou_equals_that_of_all_anchors(boxes, allowed_border, offset, sides) -> None:
    objects = make_objects(*((x, y, min(x + w, 160), min(y + h, 120)) for x, y, w, h in boxes))
    shapes = AnchorGenerator(sides, (0.5, 1.0, 3.0), offset)
    strides = [16, 32][: len(sides)]
    expected = best_iou_of_all_anchors(objects, shapes, strides, allowed_border)
    np.testing.assert_allclose(best_anchor_iou(objects, shapes, strides, allowed_border), expected, atol=1e-12)


def test_scale_objects_clips_boxes_and_drops_crowds() -> None:
    image = ImageAnnotation(
        file="/a.jpg",
        image_id=1,
        size=(50, 100),
        boxes=np.asarray([[-5.0, 0, 10, 20], [0, 0, 50, 50], [0, 0, 100, 50]]),
        labels=np.asarray([2, 1, 1]),
        difficult=np.asarray([False, True, False]),
        crowd=np.asarray([False, False, True]),
        areas=np.ones(3),
    )
    objects = scale_objects(Annotations.from_images([image], ["a", "b"]), Preprocess(min_size=100, max_size=1000))
    assert objects.boxes.tolist() == [[0, 0, 20, 40], [0, 0, 100, 100]]
    assert objects.image_sides.tolist() == [[200, 100], [200, 100]]
    assert objects.labels.tolist() == [2, 1]


def test_suggest_anchors_recovers_the_anchors_of_the_objects() -> None:
    generator = AnchorGenerator(((20, 60),), (0.5, 2.0))
    boxes = generator.grid_anchors(0, (8, 10), 16, torch.device("cpu"), torch.float64).numpy()
    suggested = suggest_anchors(
        make_objects(*map(tuple, boxes)), AnchorGenerator(((100, 150),), (1.0, 1.1)), 16, None, 2
    )
    np.testing.assert_allclose(suggested.sizes, generator.sizes, rtol=0.06)
    np.testing.assert_allclose(suggested.aspect_ratios, generator.aspect_ratios, rtol=0.06)


@pytest.mark.parametrize("number", [1, 3])
def test_suggested_anchors_have_no_lower_iou_than_configured_ones(number: int) -> None:
    rng = np.random.default_rng(number)
    low = rng.uniform(0, 60, (80, 2))
    objects = make_objects(*map(tuple, np.concatenate([low, low + rng.uniform(5, 60, (80, 2))], 1)))
    start = AnchorGenerator((tuple(np.geomspace(20, 50, number)),), tuple(np.geomspace(0.7, 1.5, number)))
    suggested = suggest_anchors(objects, start, 16, 0.0, number)
    assert best_anchor_iou(objects, suggested, [16], 0.0).mean() > best_anchor_iou(objects, start, [16], 0.0).mean()


def test_suggest_anchors_for_equal_objects_gives_one_anchor() -> None:
    suggested = suggest_anchors(make_objects(*[(10, 10, 42, 42)] * 5), AnchorGenerator(((128, 256),)), 16, None, 3)
    assert len(suggested.sizes[0]) == len(suggested.aspect_ratios) == 1
