"""The best boxes of all groups after their suppression, in a fixed number.

Letters: G groups, B boxes of each, M the number that is selected.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from detect.ops.grouped_nms import NO_SCORE, grouped_nms


@dataclass(frozen=True)
class Selected:
    """M boxes, best first: index (M,) int64 in the G x B of all groups, and is_valid (M,) bool.

    The indices of those that are not valid, which are the last ones, are 0.
    """

    index: Tensor
    is_valid: Tensor


def select(boxes: Tensor, scores: Tensor, threshold: float, count: int) -> Selected:
    """Suppress within each group and return the ``count`` best of all: boxes (G, B, 4), scores (G, B) as they rank.

    Those that take no part have the score NO_SCORE.
    """
    stays = grouped_nms(boxes, scores, threshold, count)
    index = stays[:, 0] * boxes.shape[1] + stays[:, 1]
    padded_scores = torch.cat([scores.flatten()[index], scores.new_full((count,), NO_SCORE)])
    padded_index = torch.cat([index, index.new_zeros(count)])
    best = padded_scores.topk(count)
    return Selected(padded_index[best.indices], best.values > NO_SCORE)


def top_n(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the ``count`` best scores of each group and their indices, both (G, count): scores (G, B).

    Where B is smaller, the last scores are NO_SCORE and their indices are B - 1.
    """
    padded = torch.cat([scores, scores.new_full((scores.shape[0], count), NO_SCORE)], 1)
    best = padded.topk(count, 1)
    return best.values, best.indices.clamp(max=scores.shape[1] - 1)
