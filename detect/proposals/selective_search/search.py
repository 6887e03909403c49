"""Selective search from an array to ranked proposals; here numba and torch are imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from detect.proposals.selective_search.images import as_rgb, resized
from detect.proposals.selective_search.ranking import Ranked, rank
from detect.proposals.selective_search.strategies import MODES, Hierarchy, hierarchies
from detect.types import Proposals

_SEEN_AT = 500  # the image width at which the shortest side is measured


def search(
    image: NDArray[Any], mode: str, seed: int, threads: int, min_side: float, resize_to: int | None
) -> Proposals:
    """``selective_search`` with its settings checked."""
    rgb = as_rgb(image)
    seen = resized(rgb, resize_to)
    height, width = seen.shape[:2]
    ranked = ranked_boxes(seen, hierarchies(seen, MODES[mode], threads), mode, seed, min_side)
    corners = ranked.boxes * np.array([rgb.shape[1], rgb.shape[0]] * 2) / np.array([width, height] * 2)
    return Proposals(torch.from_numpy(corners.astype(np.float32)), torch.from_numpy(ranked.scores.astype(np.float32)))


def ranked_boxes(seen: NDArray[np.uint8], found: Sequence[Hierarchy], mode: str, seed: int, min_side: float) -> Ranked:
    """The boxes of a search in pixels of the image that was searched."""
    return rank(found, min_side * seen.shape[1] / _SEEN_AT, seed, MODES[mode].limit)
