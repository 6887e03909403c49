from __future__ import annotations

import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign, roi_align

from detect.models.regions.pooled import PooledRegions
from detect.models.regions.pyramid import PyramidRegions
from detect.types import Images

CANVAS = (256, 320)


def images(count: int) -> Images:
    return Images(torch.zeros(count, 3, *CANVAS), (CANVAS,) * count, tuple(range(count)))


def maps(*strides: int, count: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(count, 5, CANVAS[0] // stride, CANVAS[1] // stride) for stride in strides]
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def squares(*sides: float) -> torch.Tensor:
    return torch.tensor([(3.5, 7.25, 3.5 + side, 7.25 + side) for side in sides], dtype=torch.float64).reshape(-1, 4)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("samples", [0, 1, 2])
def test_pooled_regions_equal_roi_align(samples: int, aligned: bool) -> None:
    features, boxes = maps(8), [squares(10, 100), squares(2)]
    actual = PooledRegions("roi_align", 3, 8, samples, aligned)(images(2), features, boxes)
    assert actual.dtype == torch.float64
    torch.testing.assert_close(actual, roi_align(features[0], boxes, 3, 1 / 8, samples, aligned))


@pytest.mark.parametrize(
    ("strides", "expected"),
    [
        ((4, 8, 16, 32), [0, 0, 1, 1, 2, 2, 3, 3]),
        ((8, 16), [0, 0, 0, 0, 1, 1, 1, 1]),
        ((32, 32), [0] * 8),  # torchvision's MobileNetV3: both maps have one stride, so all come from the first
        ((16,), [0] * 8),
    ],
)
def test_box_of_twice_the_side_uses_the_next_level(strides: tuple[int, ...], expected: list[int]) -> None:
    regions = PyramidRegions("roi_align", 2, strides)
    assert regions.assign_levels(squares(1, 111.9, 112, 223.9, 224, 447.9, 448, 5000)).tolist() == expected
    assert regions.assign_levels(squares(0)).tolist() == [0]
    assert regions.assign_levels(squares()).tolist() == []


@pytest.mark.parametrize(
    "sides", [((), ()), ((50,), ()), ((), (300, 20, 120)), ((20, 240, 300, 110, 5), (115, 7, 290, 60, 230))]
)
@pytest.mark.parametrize("strides", [(4, 8, 16, 32), (8, 16), (32, 32)])
def test_pyramid_regions_equal_torchvision(strides: tuple[int, ...], sides: tuple[tuple[float, ...], ...]) -> None:
    boxes, features = [squares(*image_boxes) for image_boxes in sides], maps(*strides, 2 * strides[-1])
    actual = PyramidRegions("roi_align", 3, strides, aligned=False)(images(2), features, boxes)
    names = list(map(str, range(len(strides))))
    theirs = MultiScaleRoIAlign(names, 3, 2)(dict(zip(names, features, strict=False)), boxes, [CANVAS] * 2)
    assert actual.shape == (len(boxes[0]) + len(boxes[1]), 5, 3, 3)
    torch.testing.assert_close(actual, theirs)


def test_gradients_reach_the_map_of_each_region() -> None:
    features = [each.requires_grad_() for each in maps(4, 8, 16, 32)]
    regions = PyramidRegions("roi_pool", 2, (4, 8, 16, 32))(images(2), features, [squares(130), squares()])
    torch.autograd.backward(regions.sum())
    assert [bool(each.grad is not None and each.grad.any()) for each in features] == [False, True, False, False]
