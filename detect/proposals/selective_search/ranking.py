"""From the hierarchies of all strategies to one ranked list (Uijlings et al. 2013, section 4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detect.proposals.selective_search.strategies import Hierarchy
from detect.system.randomness import generator


@dataclass(frozen=True)
class Ranked:
    """Boxes (P, 4), best first; scores (P,) in 0..1; places (P,): of each box in the hierarchies, end to end."""

    boxes: NDArray[np.int32]
    scores: NDArray[np.float64]
    places: NDArray[np.int64]


def rank(hierarchies: Sequence[Hierarchy], min_side: float, seed: int, limit: int | None = None) -> Ranked:
    """The first ``limit`` boxes, each once and no side under ``min_side``.

    A box's place is its position in the hierarchy times a random number in 0..1, so that no strategy comes first; of
    equal boxes the best placed is kept. The score is 1 / (1 + that product).
    """
    boxes = np.concatenate([hierarchy.boxes for hierarchy in hierarchies])
    positions = np.concatenate([hierarchy.positions for hierarchy in hierarchies])
    places = positions * generator("selective search", seed).random(len(boxes))
    large = np.flatnonzero((boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= min_side)
    order = large[np.argsort(places[large], kind="stable")]
    order = order[_first_of_each(boxes[order])][:limit]
    return Ranked(boxes[order], 1 / (1 + places[order]), order)


def _first_of_each(boxes: NDArray[np.int32]) -> NDArray[np.int64]:
    """Where each distinct box occurs first, increasing."""
    corners = boxes.astype(np.int64)
    ends = corners[:, 2] << 16 | corners[:, 3]
    _, first = np.unique(corners[:, 0] << 48 | corners[:, 1] << 32 | ends, return_index=True)
    return np.sort(first)
