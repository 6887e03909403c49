"""Geometry of boxes: ``x1 y1 x2 y2`` in continuous pixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from detect.ops.constants import constant
from detect.types import Size

# A larger scale only makes boxes bigger than any image; the limit keeps the boxes of an untrained network finite.
MAX_SCALE = 1000.0 / 16.0


def areas(boxes: Tensor) -> Tensor:
    """Return the areas (B,) of boxes (B, 4), in square pixels."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def intersections(a: Tensor, b: Tensor) -> Tensor:
    """Return the intersection areas (A, B) of boxes (A, 4) and (B, 4), in square pixels."""
    width = torch.minimum(a[:, None, 2], b[:, 2]) - torch.maximum(a[:, None, 0], b[:, 0])
    height = torch.minimum(a[:, None, 3], b[:, 3]) - torch.maximum(a[:, None, 1], b[:, 1])
    return width.clamp_(min=0).mul_(height.clamp_(min=0))


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the intersection over union (A, B) of boxes (A, 4) and (B, 4), 0 where both boxes are empty."""
    shared = intersections(a, b)
    union = areas(a)[:, None] + areas(b) - shared
    return shared / union.clamp_(min=torch.finfo(shared.dtype).tiny)


def ioa(a: Tensor, b: Tensor) -> Tensor:
    """Return the intersection over the area of ``a``, (A, B), for boxes (A, 4) and (B, 4): the overlap with crowds."""
    return intersections(a, b) / areas(a)[:, None].clamp(min=torch.finfo(a.dtype).tiny)


def clip(boxes: Tensor, size: Size) -> Tensor:
    """Return boxes (..., 4) clipped to an image of ``size`` (h, w)."""
    x, y = boxes[..., 0::2].clamp(0, size[1]), boxes[..., 1::2].clamp(0, size[0])
    return torch.stack([x, y], -1).flatten(-2)


def is_not_empty(boxes: Tensor, min_size: float = 0.0) -> Tensor:
    """Return whether both sides of each box (B, 4) are longer than ``min_size`` pixels: (B,) bool."""
    return ((boxes[:, 2:] - boxes[:, :2]) > min_size).all(dim=1)


def hflip(boxes: Tensor, width: int) -> Tensor:
    """Return boxes (B, 4) after a horizontal flip of their image of ``width`` pixels."""
    x1, y1, x2, y2 = boxes.unbind(1)
    return torch.stack([width - x2, y1, width - x1, y2], 1)


def encode(boxes: Tensor, references: Tensor, stds: tuple[float, float, float, float]) -> Tensor:
    """Return the deltas (B, 4) that turn ``references`` (B, 4) into ``boxes`` (B, 4); R-CNN, appendix C.

    t = ((x - xa) / wa, (y - ya) / ha, log(w / wa), log(h / ha)) of centers and sides, divided by ``stds`` so that each
    has about unit variance (Fast R-CNN, section 2.3).
    """
    size, size_ref = boxes[:, 2:] - boxes[:, :2], references[:, 2:] - references[:, :2]
    center, center_ref = boxes[:, :2] + size / 2, references[:, :2] + size_ref / 2
    deltas = torch.cat([(center - center_ref) / size_ref, torch.log(size / size_ref)], 1)
    return deltas / constant(stds, deltas)


def decode(
    deltas: Tensor, references: Tensor, stds: tuple[float, float, float, float], max_scale: float | None = MAX_SCALE
) -> Tensor:
    """Apply deltas (B, ..., 4) to references (B, 4) -> boxes (B, ..., 4), the inverse of ``encode``.

    A side becomes at most ``max_scale`` times that of the reference (1000 / 16 in torchvision and detectron2; None: no
    limit, as in py-faster-rcnn).
    """
    deltas = deltas * constant(stds, deltas)
    references = references.reshape(references.shape[0], *[1] * (deltas.dim() - 2), 4)
    size_ref = references[..., 2:] - references[..., :2]
    center = references[..., :2] + size_ref / 2 + deltas[..., :2] * size_ref
    size_deltas = deltas[..., 2:] if max_scale is None else deltas[..., 2:].clamp(max=math.log(max_scale))
    half = torch.exp(size_deltas) * size_ref / 2
    return torch.cat([center - half, center + half], -1)
