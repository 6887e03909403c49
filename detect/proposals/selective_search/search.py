"""Selective search from an array to ranked proposals; this module imports numba and torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from detect.proposals.selective_search.images import as_rgb, resize_to_width
from detect.proposals.selective_search.ranking import RankedBoxes, rank_boxes
from detect.proposals.selective_search.settings import SearchSettings
from detect.proposals.selective_search.strategies import Hierarchy, search_hierarchies, select_strategies
from detect.types import Proposals


def search(image: NDArray[Any], settings: SearchSettings, threads: int) -> Proposals:
    """Run ``selective_search``."""
    rgb = as_rgb(image)
    resized = resize_to_width(rgb, settings.resize_to)
    height, width = resized.shape[:2]
    ranked = rank_searched_boxes(resized, search_hierarchies(resized, select_strategies(settings), threads), settings)
    corners = ranked.boxes * np.array([rgb.shape[1], rgb.shape[0]] * 2) / np.array([width, height] * 2)
    return Proposals(torch.from_numpy(corners.astype(np.float32)), torch.from_numpy(ranked.scores.astype(np.float32)))


def rank_searched_boxes(
    resized: NDArray[np.uint8], searched: Sequence[Hierarchy], settings: SearchSettings
) -> RankedBoxes:
    """Return the ranked boxes in pixels of the resized image."""
    min_side = settings.min_side
    if settings.min_side_width is not None:
        min_side = min_side * resized.shape[1] / settings.min_side_width
    return rank_boxes(searched, min_side, settings.seed, select_strategies(settings).max_boxes)
