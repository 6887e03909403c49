"""Masks that hide cells of pooled regions: windows, the window that hurts most, and cells drawn at random.

Wang, Shrivastava and Gupta 2017, "A-Fast-RCNN" (arXiv:1704.03414), section 4.1. A hidden cell is 0 in all channels.
Letters: S regions, C channels, d x d cells of a region, W windows.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def window_masks(pool_size: int, device: torch.device | None = None) -> Tensor:
    """Return a mask of each window of a region, (W, d, d) bool, row by row; true cells are hidden.

    A window has d / 3 cells a side, rounded up (3 x 3 of 7 x 7, so 25 windows).
    """
    side = math.ceil(pool_size / 3)
    starts = torch.arange(pool_size - side + 1, device=device)
    cells = torch.arange(pool_size, device=device)
    inside = (cells >= starts[:, None]) & (cells < starts[:, None] + side)  # (starts, d)
    return (inside[:, None, :, None] & inside[None, :, None, :]).flatten(0, 1)


def hide(regional: Tensor, masks: Tensor) -> Tensor:
    """Return region maps (S, C, d, d) with 0 in the true cells of their masks (S, d, d), or of one mask (d, d)."""
    return regional.masked_fill(masks.unsqueeze(-3), 0)


def hardest_windows(probability: Callable[[Tensor], Tensor], regional: Tensor) -> Tensor:
    """Return the mask of the window of each region whose hiding lowers its probability most: (S, d, d) bool.

    probability: of the true class, (S,), of region maps (S, C, d, d); it is asked once for each window, of all regions
    together. Of equal windows the first is taken.
    """
    masks = window_masks(regional.shape[-1], regional.device)
    probabilities = torch.stack([probability(hide(regional, mask)) for mask in masks])  # (W, S)
    return masks[probabilities.argmin(0)]


def cell_counts(pool_size: int, candidates: float, dropped: float) -> tuple[int, int]:
    """Return how many cells of d x d are candidates, and how many of them are dropped: these fractions, 1 at least."""
    cells = pool_size**2
    num_candidates = min(cells, max(1, round(cells * candidates)))
    return num_candidates, min(num_candidates, max(1, round(cells * dropped)))


def draw_cells(scores: Tensor, random_values: Tensor, num_candidates: int, num_dropped: int) -> Tensor:
    """Draw ``num_dropped`` cells of each region among the ``num_candidates`` with the highest scores: (S, d, d) bool.

    scores (S, d, d); random_values (S, d * d) in 0..1: the candidates with the lowest are drawn, so that all candidates
    are drawn equally often. Of equal scores the first cells are the candidates.
    """
    order = scores.flatten(1).argsort(dim=1, descending=True, stable=True)[:, :num_candidates]
    drawn = random_values.gather(1, order).argsort(dim=1, stable=True)[:, :num_dropped]
    masks = torch.zeros_like(scores, dtype=torch.bool).flatten(1).scatter(1, order.gather(1, drawn), True)
    return masks.view_as(scores)
