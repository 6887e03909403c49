"""Crops of one size, warped from the pixels: the regions of R-CNN.

Letters: N images, S boxes; a crop has ``crop_size`` x ``crop_size`` pixels, K x K for short.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from detect.types import Size


def warp(pixels: Tensor, sizes: Sequence[Size], boxes: Sequence[Tensor], crop_size: int, context: int) -> Tensor:
    """Warp each box with its surroundings to a square, whatever its shape (R-CNN, section 2.1 and appendix A).

    pixels (N, 3, H, W); sizes: N times the (h, w) of the image without padding; boxes: N times (S_i, 4) in canvas
    pixels -> (S, 3, K, K), images one after the other. The box fills the middle ``crop_size - 2 * context`` pixels of
    its crop, so ``context`` counts warped pixels (the paper's: 16 of 227). Sampling is bilinear without antialiasing;
    what lies outside the image is 0, the mean color. Raises ValueError for a context that leaves the box no pixel.

    The authors' code rounds the window to whole pixels, one more of them to the right and below; here it is exact.
    Besides the result, memory holds a grid of two thirds its size, so call it with as many boxes as memory allows.

    Example along x: with ``crop_size`` 8 and ``context`` 2 the box fills crop pixels 2 to 5. For a box from x = 10 to
    18 a crop pixel is (18 - 10) / 4 = 2 image pixels wide, and the centers of the eight are at x = 7, 9, 11, 13, 15,
    17, 19 and 21. In an image 20 pixels wide the last one lies outside and is 0.
    """
    if not 0 <= 2 * context < crop_size:
        raise ValueError(
            f"context: expected 0 to {(crop_size - 1) // 2} for crops of {crop_size} pixels, found {context}"
        )
    crops = [
        _warp_image(image[None], size, image_boxes.to(pixels.dtype), crop_size, context)
        for image, size, image_boxes in zip(pixels, sizes, boxes, strict=True)
    ]
    return crops[0] if len(crops) == 1 else torch.cat(crops)


def with_context(boxes: Tensor, crop_size: int, context: int) -> Tensor:
    """Return the boxes (S, 4) with the surroundings that their crops show, in the same pixels: (S, 4).

    ``context`` counts warped pixels: the box fills ``crop_size - 2 * context`` of them.
    """
    margin = (boxes[:, 2:] - boxes[:, :2]) * (context / (crop_size - 2 * context))
    return torch.cat([boxes[:, :2] - margin, boxes[:, 2:] + margin], 1)


def _warp_image(image: Tensor, size: Size, boxes: Tensor, crop_size: int, context: int) -> Tensor:
    """Warp the boxes (S, 4) of one image (1, 3, H, W) -> (S, 3, K, K)."""
    if len(boxes) == 0:
        return image.new_zeros(0, 3, crop_size, crop_size)
    x, inside_x = _crop_coordinates_1d(boxes[:, 0], boxes[:, 2], crop_size, context, size[1], image.shape[3])
    y, inside_y = _crop_coordinates_1d(boxes[:, 1], boxes[:, 3], crop_size, context, size[0], image.shape[2])
    grid = torch.stack([x[:, None].expand(-1, crop_size, -1), y[:, :, None].expand(-1, -1, crop_size)], -1)
    sampled = functional.grid_sample(image, grid.view(1, -1, crop_size, 2), align_corners=False)  # (1, 3, S * K, K)
    crops = sampled.view(3, -1, crop_size, crop_size).mul_(inside_x[:, None] & inside_y[:, :, None])
    return crops.transpose(0, 1)


def _crop_coordinates_1d(
    start: Tensor, end: Tensor, crop_size: int, context: int, length: int, canvas_length: int
) -> tuple[Tensor, Tensor]:
    """Return where each crop pixel samples along one axis, in -1..1 of the canvas, and whether it is in the image.

    start, end (S,) -> (S, K) and (S, K) bool. Between the border and the center of the last pixel the value is that of
    the last pixel, so that the padding has no influence.
    """
    steps = torch.arange(crop_size, device=start.device, dtype=start.dtype) + (0.5 - context)
    position = start[:, None] + (end - start)[:, None] * (steps / (crop_size - 2 * context))
    inside = (position >= 0) & (position < length)
    return position.clamp(0.5, length - 0.5) * (2 / canvas_length) - 1, inside
