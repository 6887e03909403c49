"""Warped crops against a loop over pixels, against OpenCV's resize, and by what the paper says of them."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch

from detect.ops.warp import warp
from detect.types import Size

CANVAS = (40, 56)
SIZES = [(33, 50), (40, 41)]
BOXES = {
    "none": [],
    "inside": [(10.0, 8, 30, 22)],
    "whole image": [(0.0, 0, 50, 33)],
    "between pixels": [(10.3, 8.6, 22.9, 19.2)],
    "one pixel": [(7.0, 5, 8, 6), (0, 0, 1, 1), (49, 32, 50, 33)],
    "at each border": [(0.0, 5, 9, 20), (5, 0, 20, 9), (41, 5, 50, 20), (5, 24, 20, 33)],
    "over the image's end": [(40.0, 20, 56, 40)],
    "outside": [(60.0, 50, 80, 70), (-30, -30, -20, -20)],
    "narrow": [(3.0, 2, 48, 4), (3, 2, 5, 32)],
}


def random_pixels(seed: int = 0, count: int = 2) -> torch.Tensor:
    """Far from 0 everywhere, the padding too: what shines in from there is seen."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, *CANVAS, generator=generator) + 5


def crop_by_loop(pixels: np.ndarray, size: Size, box: tuple[float, ...], side: int, context: int) -> np.ndarray:
    """(3, H, W) -> (3, side, side), a pixel at a time, in float64."""
    crop = np.zeros((3, side, side))
    x1, y1, x2, y2 = box
    for row in range(side):
        for column in range(side):
            x = x1 + (x2 - x1) * (column + 0.5 - context) / (side - 2 * context)
            y = y1 + (y2 - y1) * (row + 0.5 - context) / (side - 2 * context)
            if not (0 <= x < size[1] and 0 <= y < size[0]):
                continue
            for at_x, weight_x in taps(x, size[1]):
                for at_y, weight_y in taps(y, size[0]):
                    crop[:, row, column] += weight_x * weight_y * pixels[:, at_y, at_x]
    return crop


def taps(position: float, length: int) -> list[tuple[int, float]]:
    """The two pixels whose centres are nearest and their weights."""
    low = math.floor(position - 0.5)
    fraction = position - 0.5 - low
    return [(min(max(low, 0), length - 1), 1 - fraction), (min(max(low + 1, 0), length - 1), fraction)]


@pytest.mark.parametrize("boxes", BOXES.values(), ids=BOXES.keys())
@pytest.mark.parametrize(("side", "context"), [(1, 0), (8, 0), (13, 3), (14, 6)])
def test_warp_equals_a_loop_over_pixels(boxes: list[tuple[float, ...]], side: int, context: int) -> None:
    pixels = random_pixels()
    listed = torch.tensor(boxes).reshape(-1, 4)
    # the slow loop and float32 may disagree on which side of the border a look that falls on it lies
    jittered = listed + 0.013
    crops = warp(pixels, SIZES, [jittered, jittered.flip(0)], side, context)
    assert crops.shape == (2 * len(boxes), 3, side, side)
    rows = [(0, box) for box in jittered.tolist()] + [(1, box) for box in jittered.flip(0).tolist()]
    for crop, (image, box) in zip(crops, rows, strict=True):
        expected = crop_by_loop(pixels[image].numpy(), SIZES[image], box, side, context)
        np.testing.assert_allclose(crop.numpy(), expected, atol=2e-3)


@pytest.mark.parametrize("counts", [(0, 0), (0, 2), (2, 0)])
def test_images_without_boxes_have_no_crops(counts: tuple[int, int]) -> None:
    boxes = [torch.tensor([[3.0, 4, 20, 30]]).repeat(count, 1) for count in counts]
    assert warp(random_pixels(), SIZES, boxes, 8, 1).shape == (sum(counts), 3, 8, 8)
    assert warp(random_pixels(count=1), SIZES[:1], boxes[:1], 8, 1).shape == (counts[0], 3, 8, 8)


@pytest.mark.parametrize("side", [4, 20, 64])
def test_integer_window_equals_opencv_resize(side: int) -> None:
    pixels = random_pixels(count=1)
    (crop,) = warp(pixels, SIZES[:1], [torch.tensor([[0.0, 0, 50, 33]])], side, 0)
    patch = np.ascontiguousarray(pixels[0, :, :33, :50].permute(1, 2, 0).numpy())
    resized = cv2.resize(patch, (side, side), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(crop.permute(1, 2, 0).numpy(), resized, atol=1e-3)


@pytest.mark.parametrize("box", [(10.0, 8, 34, 20), (20.0, 4, 28, 28), (12.25, 9.5, 13.25, 10.5)])
def test_box_fills_the_crop_without_context(box: tuple[float, ...]) -> None:
    side, context = 12, 2
    y, x = torch.meshgrid(torch.arange(40.0) + 0.5, torch.arange(56.0) + 0.5, indexing="ij")
    where = torch.stack([x, y, x])[None]  # an image whose colors are its coordinates
    (crop,) = warp(where, [CANVAS], [torch.tensor([box])], side, context)
    edges = crop[:2, [context, side - context - 1], [context, side - context - 1]]  # first and last pixel of the box
    cell = torch.tensor([box[2] - box[0], box[3] - box[1]]) / (side - 2 * context)
    torch.testing.assert_close(edges[:, 0] - cell / 2, torch.tensor(box[:2], dtype=torch.float32), atol=1e-4, rtol=0)
    torch.testing.assert_close(edges[:, 1] + cell / 2, torch.tensor(box[2:], dtype=torch.float32), atol=1e-4, rtol=0)


def test_pixels_outside_the_image_are_zero_inside_a_larger_canvas() -> None:
    box = torch.tensor([[40.0, 23, 50, 33]])  # the lower right corner of the image
    (crop,) = warp(random_pixels(count=1), [(33, 50)], [box], 14, 2)
    assert (crop[:, :12, :12] >= 5 - 1e-3).all()
    assert (crop[:, 12:] == 0).all()
    assert (crop[:, :, 12:] == 0).all()


def test_gradients_reach_the_pixels() -> None:
    pixels = random_pixels(count=1).requires_grad_()
    warp(pixels, SIZES[:1], [torch.tensor([[10.0, 8, 30, 22]])], 40, 0).sum().backward()
    assert pixels.grad is not None
    reached = pixels.grad[0, 0].nonzero()
    assert reached.amin(0).tolist() == [8 - 1, 10 - 1]
    assert reached.amax(0).tolist() == [22, 30]


@pytest.mark.parametrize(("side", "context"), [(32, 16), (8, -1)])
def test_context_that_leaves_no_box_is_refused(side: int, context: int) -> None:
    with pytest.raises(ValueError, match=rf"context: expected 0 to {(side - 1) // 2} .* found {context}"):
        warp(random_pixels(), SIZES, [torch.zeros(0, 4)] * 2, side, context)
