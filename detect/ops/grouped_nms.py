"""Non-maximum suppression of several groups in one call, as the operator NonMaxSuppression of ONNX computes it.

It is an operator of torch, so that ``torch.export`` keeps it as one node of the graph, which an exporter translates.
"""

from __future__ import annotations

import torch
from torch import Tensor

from detect.ops.nms import nms

NO_SCORE = -(2.0**100)  # of what takes no part: far below any logit; a number that float32 has exactly


@torch.library.custom_op("detect::grouped_nms", mutates_args=())
def grouped_nms(boxes: Tensor, scores: Tensor, threshold: float, max_per_group: int) -> Tensor:
    """Suppress greedily within each of G groups of B boxes: a box is dropped where its IoU with a better one is larger.

    boxes (G, B, 4); scores (G, B), NO_SCORE or less for those that take no part. Returns (S, 2) int64: the group and
    the index in it of the boxes that stay, group after group, best first, at most ``max_per_group`` of each. A group is
    not shifted to an area of its own, which would cost float32 the last bits of its corners.
    """
    selected = []
    for group in range(len(boxes)):
        index = (scores[group] > NO_SCORE).nonzero().flatten()
        keep = index[nms(boxes[group, index], scores[group, index], threshold)][:max_per_group]
        selected.append(torch.stack([torch.full_like(keep, group), keep], 1))
    return torch.cat(selected)


@grouped_nms.register_fake
def _(boxes: Tensor, scores: Tensor, threshold: float, max_per_group: int) -> Tensor:  # noqa: ARG001
    """Return the shape alone: the number of boxes that stay is known when they are."""
    count = torch.library.get_ctx().new_dynamic_size()
    return boxes.new_empty((count, 2), dtype=torch.int64)
