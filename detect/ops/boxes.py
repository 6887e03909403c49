"""Geometry of boxes: ``x1 y1 x2 y2``, continuous pixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from detect.types import Size

# A larger growth only makes boxes bigger than any image; the limit keeps an untrained network finite.
MAX_GROWTH = 1000.0 / 16.0


def areas(boxes: Tensor) -> Tensor:
    """Boxes (B, 4) -> (B,) in square pixels."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def intersections(a: Tensor, b: Tensor) -> Tensor:
    """Boxes (A, 4) and (B, 4) -> (A, B) shared square pixels."""
    width = torch.minimum(a[:, None, 2], b[:, 2]) - torch.maximum(a[:, None, 0], b[:, 0])
    height = torch.minimum(a[:, None, 3], b[:, 3]) - torch.maximum(a[:, None, 1], b[:, 1])
    return width.clamp_(min=0).mul_(height.clamp_(min=0))


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Boxes (A, 4) and (B, 4) -> intersection over union (A, B), 0 where both boxes are empty."""
    shared = intersections(a, b)
    union = areas(a)[:, None] + areas(b) - shared
    return shared / union.clamp_(min=torch.finfo(shared.dtype).tiny)


def coverage(a: Tensor, b: Tensor) -> Tensor:
    """The share (A, B) of each box of ``a`` that lies in each box of ``b``: the overlap used for crowds."""
    return intersections(a, b) / areas(a)[:, None].clamp(min=torch.finfo(a.dtype).tiny)


def clip(boxes: Tensor, size: Size) -> Tensor:
    """Boxes (..., 4) cut to a picture of ``size``."""
    limit = boxes.new_tensor([size[1], size[0], size[1], size[0]])
    return torch.minimum(boxes.clamp(min=0), limit)


def has_extent(boxes: Tensor, side: float = 0.0) -> Tensor:
    """Which boxes (B, 4) have both sides longer than ``side``: (B,) bool."""
    return ((boxes[:, 2:] - boxes[:, :2]) > side).all(dim=1)


def flip(boxes: Tensor, width: int) -> Tensor:
    """Boxes (B, 4) of the picture mirrored left to right."""
    x1, y1, x2, y2 = boxes.unbind(1)
    return torch.stack([width - x2, y1, width - x1, y2], 1)


def encode(boxes: Tensor, references: Tensor, stds: tuple[float, float, float, float]) -> Tensor:
    """Deltas (B, 4) that turn ``references`` (B, 4) into ``boxes`` (B, 4); R-CNN appendix C.

    t = ((x - xa) / wa, (y - ya) / ha, log(w / wa), log(h / ha)) of centres and sides, divided by ``stds`` so that each
    has about unit variance (Fast R-CNN, section 2.3).
    """
    size, size_ref = boxes[:, 2:] - boxes[:, :2], references[:, 2:] - references[:, :2]
    centre, centre_ref = boxes[:, :2] + size / 2, references[:, :2] + size_ref / 2
    deltas = torch.cat([(centre - centre_ref) / size_ref, torch.log(size / size_ref)], 1)
    return deltas / deltas.new_tensor(stds)


def decode(
    deltas: Tensor, references: Tensor, stds: tuple[float, float, float, float], growth: float | None = MAX_GROWTH
) -> Tensor:
    """The inverse of ``encode``: deltas (B, ..., 4) on references (B, 4) -> boxes (B, ..., 4).

    A box gets at most ``growth`` times its reference's side (1000 / 16 in torchvision and detectron2; None: no limit,
    as in py-faster-rcnn).
    """
    deltas = deltas * deltas.new_tensor(stds)
    references = references.reshape(len(references), *[1] * (deltas.dim() - 2), 4)
    size_ref = references[..., 2:] - references[..., :2]
    centre = references[..., :2] + size_ref / 2 + deltas[..., :2] * size_ref
    size_deltas = deltas[..., 2:] if growth is None else deltas[..., 2:].clamp(max=math.log(growth))
    half = torch.exp(size_deltas) * size_ref / 2
    return torch.cat([centre - half, centre + half], -1)
