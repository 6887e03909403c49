"""The proposals of one image in a fixed number, whichever part makes them.

Letters: A anchors of a map, T candidates of a map, L maps, P proposals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from detect.models.graph.selection import select, top_n
from detect.models.proposers.proposer import ProposalSelection
from detect.models.proposers.rpn import RPN
from detect.ops import boxes as box_ops
from detect.ops.constants import constant
from detect.ops.dtype import at_least_float32
from detect.ops.grouped_nms import NO_SCORE
from detect.types import Size


@dataclass(frozen=True)
class GraphProposals:
    """P proposals: boxes (P, 4) in pixels of the image, and is_valid (P,) bool, False for those that are padding."""

    boxes: Tensor
    is_valid: Tensor


def rpn_proposals(
    rpn: RPN, maps: Sequence[Tensor], canvas: Size, size: Size, selection: ProposalSelection
) -> GraphProposals:
    """Return the proposals that ``RPN`` gives for the maps of one image, ``selection.post_nms_top_n`` with padding.

    canvas: (H, W) of the padded image; size: its (h, w) without padding. Raises ValueError for anchors in a random
    order, which a graph cannot draw.
    """
    if rpn.random_rank:
        raise ValueError("expected an RPN that ranks anchors by their objectness, found random ranks")
    levels = [_candidates(rpn, level, features, canvas, selection) for level, features in enumerate(maps)]
    logits, deltas, anchors = (torch.stack(parts) for parts in zip(*levels, strict=True))  # (L, T), (L, T, 4) twice
    deltas = deltas * constant(rpn.delta_stds, deltas) if rpn.apply_deltas else torch.zeros_like(deltas)
    decoded = box_ops.decode(deltas.flatten(0, 1), anchors.flatten(0, 1), (1.0, 1.0, 1.0, 1.0), rpn.max_scale)
    boxes = box_ops.clip(decoded, size)
    is_eligible = box_ops.is_not_empty(boxes, selection.min_size).view_as(logits)
    if selection.score_threshold:
        is_eligible = is_eligible & (logits.sigmoid() >= selection.score_threshold)
    logits = torch.where(is_eligible, logits, NO_SCORE)
    selected = select(boxes.view_as(anchors), logits, selection.nms_iou, selection.post_nms_top_n)
    return GraphProposals(boxes[selected.index], selected.is_valid)


def given_proposals(boxes: Tensor, selection: ProposalSelection) -> GraphProposals:
    """Return proposals that come with the image, (P, 4), of which the first ``post_nms_top_n`` large ones are valid."""
    is_large = box_ops.is_not_empty(boxes, selection.min_size)
    return GraphProposals(boxes, is_large & (is_large.long().cumsum(0) <= selection.post_nms_top_n))


def fixed_number(proposals: GraphProposals, count: int) -> GraphProposals:
    """Return the first ``count`` valid proposals, in their order; the others are padding."""
    boxes = torch.cat([proposals.boxes, proposals.boxes.new_zeros(count, 4)])
    is_valid = torch.cat([proposals.is_valid, proposals.is_valid.new_zeros(count)])
    order = torch.arange(boxes.shape[0], device=boxes.device)
    rank = torch.where(is_valid, order, order + boxes.shape[0])  # OpenVINO computes with integers of 32 bits
    first = rank.topk(count, largest=False).indices
    return GraphProposals(boxes[first], is_valid[first])


def _candidates(
    rpn: RPN, level: int, features: Tensor, canvas: Size, selection: ProposalSelection
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the logits (T,), deltas (T, 4) and anchors (T, 4) of the best anchors of one map (1, C, h, w)."""
    logits, deltas = (at_least_float32(output) for output in rpn.head(features))  # (1, A), (1, A, 4)
    map_size = (features.shape[2], features.shape[3])
    canvas_stride = (canvas[0] // map_size[0], canvas[1] // map_size[1])
    stride = rpn.strides[level] if rpn.anchor_stride == "stride" else canvas_stride
    anchors = rpn.anchor_generator.grid_anchors(level, map_size, stride, features.device, deltas.dtype)
    best, index = top_n(logits, selection.pre_nms_top_n)
    return best[0], deltas[0, index[0]], anchors[index[0]]
