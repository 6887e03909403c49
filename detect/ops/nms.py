"""Non-maximum suppression."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import nms as torchvision_nms

from detect.ops.boxes import areas, intersections, iou
from detect.ops.dtype import at_least_float32

_IOU_TOLERANCE = 1e-3  # far more than the rounding error of an IoU in float32
_CUDA_LOOP_THRESHOLD = 25_000  # boxes; one call takes B^2 / 8 bytes of a GPU, 80 MB here (torchvision's number)
_LOOP_THRESHOLD = 2000  # boxes; from here on comparing all pairs in one call costs more than one call for each group


def nms(boxes: Tensor, scores: Tensor, threshold: float, groups: Tensor | None = None) -> Tensor:
    """Suppress greedily: a box is dropped where its IoU with a better one of its group is above ``threshold``.

    boxes (B, 4); scores (B,); groups (B,) int64 or None: classes, levels or images that do not suppress each other;
    any whole numbers, also negative ones. Returns the indices (int64) of the boxes that stay, best first; of equal
    scores the lower index comes first. A box with a NaN or infinite corner always stays and suppresses nothing. Raises
    ValueError where the shapes differ.

    Each group is shifted to an area of its own, so that one call serves all groups. The shift is done in float64: in
    float32 a shift by thousands of pixels changes IoUs by 1e-4, and with them the result; in float64 one by 1e9 pixels
    moves a corner by 1e-7. Many boxes on a CPU are suppressed group by group: 8,500 boxes of five maps take 0.7 of the
    time, 5,000 of 90 classes 0.3.
    """
    if boxes.shape != (len(scores), 4) or (groups is not None and groups.shape != scores.shape):
        shapes = [tuple(each.shape) for each in (boxes, scores, groups) if each is not None]
        raise ValueError(f"boxes, scores, groups: expected shapes (B, 4), (B,), (B,), found {str(shapes)[1:-1]}")
    if groups is None or len(boxes) < (_CUDA_LOOP_THRESHOLD if boxes.is_cuda else _LOOP_THRESHOLD):
        return _nms_in_order(_offset_by_group(boxes, groups), scores, threshold)
    exact, order = boxes.double(), groups.argsort(stable=True)
    _, counts = torch.unique_consecutive(groups[order], return_counts=True)
    members = torch.split(order, counts.tolist())
    keep = torch.cat([group[_nms_in_order(exact[group], scores[group], threshold)] for group in members]).sort().values
    return keep[scores[keep].argsort(descending=True, stable=True)]


def suppressed_by(boxes: Tensor, scores: Tensor, threshold: float, groups: Tensor | None = None) -> Tensor:
    """Return the index (B,) int64 of the box that suppressed each one in ``nms``; its own index where it stayed.

    Of several it is the best box. The arguments are those of ``nms``. The kernel of ``nms`` decides, called for one
    pair at a time, because near the threshold an IoU computed here may round differently. It is not called for pairs
    whose IoU is clearly below the threshold.
    """
    offset_boxes, keep = _offset_by_group(boxes, groups), nms(boxes, scores, threshold, groups)
    suppressor = torch.full((len(boxes),), -1, dtype=torch.int64, device=boxes.device)
    suppressor[keep] = keep
    for winner in keep.tolist():
        remaining = (suppressor < 0).nonzero().flatten()
        overlaps = iou(offset_boxes[winner][None], offset_boxes[remaining])[0]
        for loser in remaining[overlaps > max(threshold - _IOU_TOLERANCE, 0.0)].tolist():
            if len(_kernel(offset_boxes[[winner, loser]], offset_boxes.new_tensor([2.0, 1.0]), threshold)) == 1:
                suppressor[loser] = winner
    return suppressor


def suppressed_by_smaller(boxes: Tensor, scores: Tensor, threshold: float, groups: Tensor | None = None) -> Tensor:
    """Return what ``suppressed_by`` does, where the overlap is the intersection over the area of the smaller box.

    So a part of an object is dropped for the whole of it, which the IoU of two such boxes may be too small for. The
    arguments are those of ``nms``. The time grows with the boxes that stay times all: 3 s for 10,000 that all stay.
    """
    exact = boxes.double()
    extents = areas(exact)
    order = torch.sort(scores, descending=True, stable=True).indices
    group_of = torch.zeros_like(order) if groups is None else groups
    suppressor = torch.full((len(boxes),), -1, dtype=torch.int64, device=boxes.device)
    for group in torch.unique(group_of):
        remaining = order[group_of[order] == group]  # of one group, best first
        while len(remaining):
            winner, rest = remaining[0], remaining[1:]
            suppressor[winner] = winner
            shared = intersections(exact[winner][None], exact[rest])[0]
            smaller = torch.minimum(extents[winner], extents[rest])
            is_dropped = shared > threshold * smaller
            suppressor[rest[is_dropped]] = winner
            remaining = rest[~is_dropped]
    return suppressor


def _offset_by_group(boxes: Tensor, groups: Tensor | None) -> Tensor:
    """Return boxes (B, 4), float32 at least, shifted so far that those of different groups do not overlap."""
    if groups is None or not len(boxes):
        return at_least_float32(boxes)
    boxes = boxes.double()
    finite = boxes.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)  # one such corner would make every shift NaN
    low, high = finite.min(), finite.max()
    return boxes + (groups * (high - low + 1.0))[:, None]


def _nms_in_order(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Return the indices that stay, best first; boxes are sorted before, so that equal scores keep their order."""
    order = torch.sort(scores, descending=True, stable=True).indices
    ranks = torch.arange(len(scores), 0, -1, device=boxes.device, dtype=boxes.dtype)
    return order[_kernel(boxes[order], ranks, threshold)]


def _kernel(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Call torchvision's NMS, which is not typed: boxes (B, 4), scores (B,) -> indices that stay, best first."""
    keep: Tensor = torchvision_nms(boxes, scores, threshold)
    return keep
