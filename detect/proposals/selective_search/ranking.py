"""Ranking of the boxes of all strategies in one list (Uijlings et al. 2013, section 4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detect.proposals.selective_search.strategies import Hierarchy
from detect.system.randomness import numpy_generator


@dataclass(frozen=True)
class RankedBoxes:
    """Boxes (P, 4), best first; scores (P,) in 0..1; indices (P,): of each box in the concatenated hierarchies."""

    boxes: NDArray[np.int32]
    scores: NDArray[np.float64]
    indices: NDArray[np.int64]


def rank_boxes(
    hierarchies: Sequence[Hierarchy], min_side: float, seed: int, max_boxes: int | None = None
) -> RankedBoxes:
    """Return the first ``max_boxes`` boxes, without duplicates and without those with a side under ``min_side``.

    A box's priority is its rank in its hierarchy times a random number in 0..1, so that no strategy comes first; of
    equal boxes the one with the lowest priority number stays. The score is 1 / (1 + priority).
    """
    boxes = np.concatenate([hierarchy.boxes for hierarchy in hierarchies])
    ranks = np.concatenate([hierarchy.ranks for hierarchy in hierarchies])
    priorities = ranks * numpy_generator("selective search", seed).random(len(boxes))
    large_enough = np.flatnonzero((boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= min_side)
    order = large_enough[np.argsort(priorities[large_enough], kind="stable")]
    order = order[_first_occurrences(boxes[order])][:max_boxes]
    return RankedBoxes(boxes[order], 1 / (1 + priorities[order]), order)


def _first_occurrences(boxes: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the increasing indices (D,) at which each distinct box of (B, 4) occurs first."""
    corners = boxes.astype(np.int64)
    ends = corners[:, 2] << 16 | corners[:, 3]
    _, first = np.unique(corners[:, 0] << 48 | corners[:, 1] << 32 | ends, return_index=True)
    return np.sort(first)
