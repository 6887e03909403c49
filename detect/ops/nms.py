"""Non-maximum suppression."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import nms as torchvision_nms


def nms(boxes: Tensor, scores: Tensor, threshold: float, groups: Tensor | None = None) -> Tensor:
    """Greedy suppression: a box goes when its IoU with a better one of its group is above ``threshold``.

    boxes (B, 4); scores (B,); groups (B,) int64 or None: classes, levels or images that do not suppress each other.
    Returns the indices kept (int64), best first; ties in score go to the lower index.

    Groups are told apart by moving each to a place of its own, so that one call serves all of them. That is done in
    float64: in float32 a shift by thousands of pixels moves IoUs by 1e-4, which changes what is kept.
    """
    if groups is not None and len(boxes):
        boxes = boxes.double()
        low, high = boxes.min(), boxes.max()
        boxes = boxes + (groups * (high - low + 1.0))[:, None]
    order = torch.sort(scores, descending=True, stable=True).indices
    ranks = torch.arange(len(scores), 0, -1, device=boxes.device, dtype=boxes.dtype)
    return order[torchvision_nms(boxes[order], ranks, threshold)]
