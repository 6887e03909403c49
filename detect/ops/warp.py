"""Crops of one size, warped from the pixels: the regions of R-CNN.

Letters: N images, S boxes; a crop of ``side`` x ``side`` pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from detect.types import Size


def warp(pixels: Tensor, sizes: Sequence[Size], boxes: Sequence[Tensor], side: int, context: int) -> Tensor:
    """Each box with its surroundings, warped to a square whatever its shape (R-CNN, section 2.1 and appendix A).

    pixels (N, 3, H, W); sizes: N times the (h, w) that is picture; boxes: N times (S_i, 4) in canvas pixels
    -> (S, 3, side, side), images one after the other. The box fills the middle ``side - 2 * context`` pixels of its
    crop, so ``context`` counts warped pixels (the paper's: 16 of 227). Bilinear without antialiasing; what lies outside
    the picture is 0, the mean colour. ValueError for a context that leaves the box no pixel.

    The authors' code rounds the window to whole pixels, one more of them to the right and below; here it is exact.
    Beside the result it holds a grid of two thirds its size: give it no more boxes at a time than memory has room for.
    """
    if not 0 <= 2 * context < side:
        raise ValueError(f"context: expected 0 to {(side - 1) // 2} for crops of {side} pixels, found {context}")
    crops = [
        _warp_one(picture[None], size, own.to(pixels.dtype), side, context)
        for picture, size, own in zip(pixels, sizes, boxes, strict=True)
    ]
    return crops[0] if len(crops) == 1 else torch.cat(crops)


def _warp_one(picture: Tensor, size: Size, boxes: Tensor, side: int, context: int) -> Tensor:
    """One picture (1, 3, H, W) and its boxes (S, 4) -> (S, 3, side, side)."""
    if len(boxes) == 0:
        return picture.new_zeros(0, 3, side, side)
    x, seen_x = _line_samples(boxes[:, 0], boxes[:, 2], side, context, size[1], picture.shape[3])
    y, seen_y = _line_samples(boxes[:, 1], boxes[:, 3], side, context, size[0], picture.shape[2])
    grid = torch.stack([x[:, None].expand(-1, side, -1), y[:, :, None].expand(-1, -1, side)], -1)
    stacked = functional.grid_sample(picture, grid.view(1, -1, side, 2), align_corners=False)  # one tall image
    crops = stacked.view(3, -1, side, side).mul_(seen_x[:, None] & seen_y[:, :, None])
    return crops.transpose(0, 1)


def _line_samples(
    start: Tensor, end: Tensor, side: int, context: int, length: int, canvas: int
) -> tuple[Tensor, Tensor]:
    """Along one axis: where each crop pixel looks, in -1..1 of the canvas, and whether that is picture: (S, side).

    A look between the border and the centre of the last pixel takes that pixel: nothing of the padding shines in.
    """
    steps = torch.arange(side, device=start.device, dtype=start.dtype) + (0.5 - context)
    position = start[:, None] + (end - start)[:, None] * (steps / (side - 2 * context))
    seen = (position >= 0) & (position < length)
    return position.clamp(0.5, length - 0.5) * (2 / canvas) - 1, seen
