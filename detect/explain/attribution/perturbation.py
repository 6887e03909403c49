"""Explanations by hiding parts of the picture and asking again: no gradients, any network.

Hidden pixels get the mean colour. A few pictures are in work at a time, so that memory does not grow with their number.
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

MAX_POSITIONS = 400  # at most, of an occluding patch
PATCH_FRACTION = 0.25  # its side, of the box's
GRID_SIZE = 16  # a side of D-RISE's random grids
KEEP_PROBABILITY = 0.5  # the share of cells that are left
PIXELS_PER_BATCH = 2**20  # 1.7 images of 600 x 1000: VGG16 then holds a gigabyte


@torch.no_grad()
def occlusion(view: AttributionTarget, choice: MethodOptions) -> Tensor:
    """What hiding a patch around each pixel takes from the score, or how far it moves the edge: (D, 1, H, W).

    Zeiler and Fergus 2014 (arXiv:1311.2901, section 4.2). The patch is a quarter as wide as the root of the box's area,
    and steps by half of itself; both are larger where more than 400 positions would be needed.
    """
    height, width = view.pixels.shape[2:]
    least = 2 * (height * width / MAX_POSITIONS) ** 0.5
    maps = []
    for place, side in enumerate(view.box_sizes()):
        rows, columns = (_patch_spans(length, max(PATCH_FRACTION * side, least, 2.0)) for length in (height, width))
        with choice.progress(f"occlusion of detection {view.detections[place].rank}", len(rows) * len(columns)) as shown:
            taken = torch.cat([_score_drop(view, masks, shown) for masks in _patches(view, rows, columns)])[:, place]
        rows, columns = rows.to(taken), columns.to(taken)
        summed = rows.T @ taken.view(len(rows), len(columns)) @ columns
        maps.append(summed / (rows.sum(0)[:, None] * columns.sum(0)))
    return torch.stack(maps)[:, None]


@torch.no_grad()
def drise(view: AttributionTarget, choice: MethodOptions) -> Tensor:
    """How much more score, or how much less movement of the edge, there is when a pixel is seen: (D, 1, H, W).

    D-RISE (Petsiuk et al. 2021, arXiv:2006.03204) with the proposal pinned, where the paper compares detections found
    anew. All detections share the masked pictures. The mean over all masks is taken off, which leaves no background
    that grows with the score.
    """
    height, width = view.pixels.shape[2:]
    total = torch.zeros(len(view.detections), height, width, device=view.pixels.device)
    taken, shares = [], torch.zeros(height, width, device=view.pixels.device)
    with choice.progress("D-RISE", choice.masks) as shown:
        for masks in _random_masks(view, choice):
            own = _score_drop(view, masks, shown)
            taken.append(own)
            total -= torch.einsum("nd,nhw->dhw", own, masks)
            shares += masks.sum(0)
    mean = torch.cat(taken).mean(0)
    centred = total + mean[:, None, None] * shares
    return (centred / (choice.masks * KEEP_PROBABILITY * (1 - KEEP_PROBABILITY)))[:, None]


def _score_drop(view: AttributionTarget, masks: Tensor, shown: ProgressDisplay) -> Tensor:
    """Masks (N, H, W) of what is left -> (N, D), what each takes from a detection's score, or moves of its edge."""
    found = view.output(view.pixels) - view.output(view.pixels * masks[:, None])
    shown.advance(len(masks))
    return found if view.quantity == "score" else found.abs()


def _batch_size(view: AttributionTarget) -> int:
    return max(1, PIXELS_PER_BATCH // (view.pixels.shape[2] * view.pixels.shape[3]))


def _patch_spans(length: int, side: float) -> Tensor:
    """Of each position of a patch along a line which pixels it covers, (P, length) bool: each two patches' about."""
    step = side / 2
    starts = torch.arange(-step, length - step / 2, step)[:, None]
    pixels = torch.arange(length) + 0.5
    return (pixels >= starts) & (pixels < starts + side)


def _patches(view: AttributionTarget, rows: Tensor, columns: Tensor) -> Iterator[Tensor]:
    """Masks (N, H, W) that hide one patch each, rows first, a few at a time."""
    for places in torch.split(torch.arange(len(rows) * len(columns)), _batch_size(view)):
        hidden = rows[places // len(columns)][:, :, None] & columns[places % len(columns)][:, None, :]
        yield (~hidden).to(view.pixels)


def _random_masks(view: AttributionTarget, choice: MethodOptions) -> Iterator[Tensor]:
    """Smooth random masks (N, H, W) in 0..1 of what is left: coarse grids, enlarged, cut at a random place (RISE)."""
    height, width = view.pixels.shape[2:]
    cell = -(-height // GRID_SIZE), -(-width // GRID_SIZE)
    large = (GRID_SIZE + 1) * cell[0], (GRID_SIZE + 1) * cell[1]
    first = 0
    while first < choice.masks:
        count = min(_batch_size(view), choice.masks - first)
        masks = []
        for number in range(first, first + count):
            draw = randomness.numpy_generator("drise", choice.seed, number)
            grid = torch.from_numpy((draw.random((1, 1, GRID_SIZE + 1, GRID_SIZE + 1)) < KEEP_PROBABILITY).astype("float32"))
            smooth = functional.interpolate(grid, large, mode="bilinear", align_corners=False)[0, 0]
            top, left = int(draw.integers(cell[0] + 1)), int(draw.integers(cell[1] + 1))
            masks.append(smooth[top : top + height, left : left + width])
        yield torch.stack(masks).to(view.pixels.device)
        first += count
