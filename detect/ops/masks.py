"""Masks between the image and the boxes: predicted masks pasted into the image, targets cropped to the boxes.

Letters: D detections, G targets, S samples; M x M cells of a mask in its box; an image of H x W pixels. The center of
pixel 0 is at 0.5, as boxes have it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional
from torchvision import ops as torchvision_ops

from detect.types import Size


def paste_masks(masks: Tensor, boxes: Tensor, size: Size, threshold: float = 0.5) -> Tensor:
    """Return the pixels of an image of ``size`` (h, w) that each mask covers: (D, h, w) bool.

    masks (D, M, M): the probability of each cell of a box, in 0..1; boxes (D, 4) in pixels of the image, where they may
    extend beyond it. A pixel is covered if the probability at its center, bilinear between the centers of cells and
    falling to 0 beyond the box, is at least ``threshold`` (Mask R-CNN, section 3; sampled as detectron2's
    ``layers/mask_ops.py`` does). Only pixels that the box touches are covered; a box without extent covers nothing.

    Each mask is sampled by itself inside the window of its box, so that it has the same bits in any batch, and memory
    for the samples of one window alone. Raises ValueError for masks and boxes of other shapes.
    """
    if masks.dim() != 3 or boxes.shape != (len(masks), 4):
        raise ValueError(
            f"expected masks (D, M, M) and boxes (D, 4), found {tuple(masks.shape)} and {tuple(boxes.shape)}"
        )
    height, width = size
    pasted = torch.zeros(len(masks), height, width, dtype=torch.bool, device=masks.device)
    corners = boxes.double().tolist()  # one wait for a GPU, not four for each box
    for mask, canvas, (x1, y1, x2, y2) in zip(masks, pasted, corners, strict=True):
        if not (x2 > x1 and y2 > y1 and all(map(math.isfinite, (x1, y1, x2, y2)))):
            continue
        left, right = _pixels(x1, x2, width)
        top, bottom = _pixels(y1, y2, height)
        if left < right and top < bottom:
            x, y = _grid(left, right, x1, x2, mask), _grid(top, bottom, y1, y2, mask)
            grid = torch.stack([x.expand(len(y), -1), y[:, None].expand(-1, len(x))], -1)
            sampled = functional.grid_sample(mask[None, None], grid[None], align_corners=False)[0, 0]
            canvas[top:bottom, left:right] = sampled >= threshold
    return pasted


def crop_targets(bitmaps: Tensor, index: Tensor, boxes: Tensor, side: int, aligned: bool = True) -> Tensor:
    """Return the part of a target's bitmap that lies in each box, as (S, side, side) float32 in 0..1.

    bitmaps (G, H, W) bool; index (S,) int64: the bitmap of each box; boxes (S, 4) in pixels of the bitmaps. A cell is
    the mean of bilinear samples, at least one for each pixel that it spans (RoIAlign; Mask R-CNN, section 3). What lies
    outside the bitmap is 0, but for the border, which reaches one pixel beyond it. ``aligned`` puts the center of pixel
    0 at half a pixel, as ``paste_masks`` does; without it the masks are half a pixel off, as in torchvision's
    ``project_masks_on_boxes``, whose numbers these then are.
    """
    if len(boxes) == 0:
        return torch.zeros(0, side, side, device=boxes.device)
    rows = torch.cat([index[:, None].float(), boxes.float()], dim=1)
    cropped: Tensor = torchvision_ops.roi_align(bitmaps[:, None].float(), rows, (side, side), 1.0, -1, aligned)
    return cropped[:, 0]


def _pixels(low: float, high: float, length: int) -> tuple[int, int]:
    """Return the first pixel, and the one behind the last, of ``length`` that an interval in pixels touches."""
    return min(max(math.floor(low), 0), length), min(max(math.ceil(high), 0), length)


def _grid(first: int, end: int, low: float, high: float, mask: Tensor) -> Tensor:
    """Return the centers of the pixels ``first`` to ``end`` on the axis on which a box from low to high is -1 to 1."""
    centers = torch.arange(first, end, dtype=torch.float64, device=mask.device) + 0.5
    return ((centers - low) / (high - low) * 2 - 1).to(mask.dtype)
