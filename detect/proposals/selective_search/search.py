"""Selective search from an array to ranked proposals; this module imports numba and torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from detect.proposals.selective_search.images import as_rgb, resize_to_width
from detect.proposals.selective_search.ranking import RankedBoxes, rank_boxes
from detect.proposals.selective_search.strategies import MODES, Hierarchy, search_hierarchies
from detect.types import Proposals

_REFERENCE_WIDTH = 500  # the image width that ``min_side`` refers to


def search(
    image: NDArray[Any], mode: str, seed: int, threads: int, min_side: float, resize_to: int | None
) -> Proposals:
    """Run ``selective_search`` with validated settings."""
    rgb = as_rgb(image)
    resized = resize_to_width(rgb, resize_to)
    height, width = resized.shape[:2]
    ranked = rank_searched_boxes(resized, search_hierarchies(resized, MODES[mode], threads), mode, seed, min_side)
    corners = ranked.boxes * np.array([rgb.shape[1], rgb.shape[0]] * 2) / np.array([width, height] * 2)
    return Proposals(torch.from_numpy(corners.astype(np.float32)), torch.from_numpy(ranked.scores.astype(np.float32)))


def rank_searched_boxes(
    resized: NDArray[np.uint8], searched: Sequence[Hierarchy], mode: str, seed: int, min_side: float
) -> RankedBoxes:
    """Return the ranked boxes in pixels of the resized image."""
    return rank_boxes(searched, min_side * resized.shape[1] / _REFERENCE_WIDTH, seed, MODES[mode].max_boxes)
