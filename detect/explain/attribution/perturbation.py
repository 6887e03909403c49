"""Explanations by hiding parts of the image and running the network again: no gradients, any network.

Hidden pixels get the mean color. Only a few changed images are in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from detect.explain.attribution.options import MethodOptions
from detect.explain.attribution.target import AttributionTarget
from detect.system import randomness
from detect.system.progress import ProgressDisplay

MAX_POSITIONS = 400  # of an occluding patch
PATCH_FRACTION = 0.25  # side of the patch, as a fraction of the box's
GRID_SIZE = 16  # cells on a side of D-RISE's random grids
KEEP_PROBABILITY = 0.5  # of a cell of a random grid
PIXELS_PER_BATCH = 2**20  # 1.7 images of 600 x 1000: VGG16 then needs a gigabyte


@torch.no_grad()
def occlusion(target: AttributionTarget, options: MethodOptions) -> Tensor:
    """Return how much hiding a patch around each pixel lowers the score, or how far it moves the edge: (D, 1, H, W).

    Zeiler and Fergus 2014 (arXiv:1311.2901, section 4.2). The side of the patch is a quarter of the square root of the
    box area, and the patch moves by half its side; both are larger where more than 400 positions would be needed.
    Detections with patches of one size share the changed images: those of small boxes do.
    """
    height, width = target.pixels.shape[2:]
    min_side = max(2.0, 2 * (height * width / MAX_POSITIONS) ** 0.5)
    sides = [max(PATCH_FRACTION * box_size, min_side) for box_size in target.box_sizes()]
    unchanged = target.output(target.pixels)
    maps: dict[int, Tensor] = {}
    for side in dict.fromkeys(sides):
        rows, columns = (_patch_spans(length, side) for length in (height, width))
        with options.progress(f"occlusion with patches of {side:.0f} pixels", len(rows) * len(columns)) as progress:
            masks = patch_masks(target, rows, columns)
            drops = torch.cat([_score_drop(target, unchanged, batch, progress) for batch in masks])
        of_side = [i for i, other in enumerate(sides) if other == side]
        maps |= {i: mean_over_patches(drops[:, i], rows, columns) for i in of_side}
    return torch.stack([maps[i] for i in range(len(sides))])[:, None]


@torch.no_grad()
def drise(target: AttributionTarget, options: MethodOptions) -> Tensor:
    """Return how much the score rises, or the movement of the edge falls, if a pixel is visible (D-RISE): (D, 1, H, W).

    Petsiuk et al. 2021 (arXiv:2006.03204), with the proposal pinned: the paper matches the detections of each masked
    image instead. All detections share the masked images. The mean over all masks is subtracted, which removes the
    background that would grow with the score.
    """
    height, width = target.pixels.shape[2:]
    total = torch.zeros(len(target.detections), height, width, device=target.pixels.device)
    visible = torch.zeros(height, width, device=target.pixels.device)
    unchanged, drops = target.output(target.pixels), []
    with options.progress("D-RISE", options.masks) as progress:
        for masks in _random_masks(target, options):
            batch_drops = _score_drop(target, unchanged, masks, progress)
            drops.append(batch_drops)
            total -= torch.einsum("nd,nhw->dhw", batch_drops, masks)
            visible += masks.sum(0)
    mean = torch.cat(drops).mean(0)
    centered = total + mean[:, None, None] * visible
    return (centered / (options.masks * KEEP_PROBABILITY * (1 - KEEP_PROBABILITY)))[:, None]


def _score_drop(target: AttributionTarget, unchanged: Tensor, masks: Tensor, progress: ProgressDisplay) -> Tensor:
    """Return how much each mask lowers each score, or moves each edge: (N, D).

    unchanged: the output (1, D) on the whole image; masks: (N, H, W), 1 where a pixel is visible.
    """
    drop = unchanged - target.output(target.pixels * masks[:, None])
    progress.advance(len(masks))
    return drop if target.quantity == "score" else drop.abs()


def _batch_size(target: AttributionTarget) -> int:
    return max(1, PIXELS_PER_BATCH // (target.pixels.shape[2] * target.pixels.shape[3]))


def _patch_spans(length: int, side: float) -> Tensor:
    """Return which pixels of a line each position of a patch covers, (P, length) bool; two patches cover each pixel."""
    step = side / 2
    starts = torch.arange(-step, length - step / 2, step)[:, None]
    pixels = torch.arange(length) + 0.5
    return (pixels >= starts) & (pixels < starts + side)


def patch_masks(target: AttributionTarget, rows: Tensor, columns: Tensor) -> Iterator[Tensor]:
    """Yield batches of masks (N, H, W) that hide one patch each, in row-major order of the patches.

    rows: (R, H), columns: (C, W) bool, the pixels of each position of a patch.
    """
    for positions in torch.split(torch.arange(len(rows) * len(columns)), _batch_size(target)):
        hidden = rows[positions // len(columns)][:, :, None] & columns[positions % len(columns)][:, None, :]
        yield (~hidden).to(target.pixels)


def mean_over_patches(values: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return for each pixel the mean of the values (R * C,) of the patches that cover it, 0 where none does: (H, W)."""
    rows, columns = rows.to(values), columns.to(values)
    summed = rows.T @ values.view(len(rows), len(columns)) @ columns
    return summed / (rows.sum(0)[:, None] * columns.sum(0)).clamp(min=1)


def _random_masks(target: AttributionTarget, options: MethodOptions) -> Iterator[Tensor]:
    """Yield batches of smooth random masks (N, H, W) in 0..1, 1 where a pixel is visible.

    A mask is a coarse random grid, enlarged, and cut out at a random offset (RISE).
    """
    height, width = target.pixels.shape[2:]
    cell = -(-height // GRID_SIZE), -(-width // GRID_SIZE)
    large = (GRID_SIZE + 1) * cell[0], (GRID_SIZE + 1) * cell[1]
    first = 0
    while first < options.masks:
        count = min(_batch_size(target), options.masks - first)
        masks = []
        for index in range(first, first + count):
            draw = randomness.numpy_generator("drise", options.seed, index)
            grid = torch.from_numpy(
                (draw.random((1, 1, GRID_SIZE + 1, GRID_SIZE + 1)) < KEEP_PROBABILITY).astype("float32")
            )
            smooth = functional.interpolate(grid, large, mode="bilinear", align_corners=False)[0, 0]
            top, left = int(draw.integers(cell[0] + 1)), int(draw.integers(cell[1] + 1))
            masks.append(smooth[top : top + height, left : left + width])
        yield torch.stack(masks).to(target.pixels.device)
        first += count
