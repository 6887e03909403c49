"""Region-of-interest pooling: a fixed grid of features for each box.

Letters: N images, C channels, H x W map; S boxes; an output of ``bins`` x ``bins``.
Boxes are in image pixels; ``scale`` is map cells per pixel (1 / stride).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torchvision import ops as torchvision_ops


def roi_pool(maps: Tensor, boxes: list[Tensor], bins: int, scale: float) -> Tensor:
    """Maximum over each cell of a grid laid on the rounded box (Fast R-CNN, section 2.1).

    maps (N, C, H, W); boxes: N times (S_i, 4) -> (S, C, bins, bins), images one after the other.
    The kernel rounds inclusive corners, as the paper's code does: the last pixel of a box is x2 - 1.
    """
    last_pixel = [box.to(maps.dtype) - box.new_tensor([0, 0, 1, 1]) for box in boxes]
    pooled: Tensor = torchvision_ops.roi_pool(maps, last_pixel, (bins, bins), scale)
    return pooled


def roi_align(
    maps: Tensor, boxes: list[Tensor], bins: int, scale: float, samples: int = 2, aligned: bool = True
) -> Tensor:
    """Mean of bilinear samples in each cell of a grid laid on the exact box (Mask R-CNN, section 3).

    maps (N, C, H, W); boxes: N times (S_i, 4) -> (S, C, bins, bins), images one after the other. ``samples`` is the
    number of points along each side of a cell; 0 takes ceil(box side / bins) of them, which only torchvision's kernel
    does. ``aligned`` puts the centre of cell 0 at half a cell; without it boxes are also widened to at least one cell
    (the rule of older code). Gradients reach the map, not the boxes.
    """
    if maps.is_cuda or samples == 0:
        pooled: Tensor = torchvision_ops.roi_align(maps, boxes, (bins, bins), scale, samples, aligned)
        return pooled
    return _roi_align_as_bags(maps, boxes, bins, scale, samples, aligned)


def _roi_align_as_bags(
    maps: Tensor, boxes: list[Tensor], bins: int, scale: float, samples: int, aligned: bool
) -> Tensor:
    """RoIAlign is a weighted sum of map cells, so it is an embedding bag: one bag per output cell, four corners per
    sample.

    On a CPU torchvision's kernel is scalar and single-threaded; this is about ten times faster, forward and backward.
    """
    _, channels, height, width = maps.shape
    table = maps.permute(0, 2, 3, 1).reshape(-1, channels)  # a view where the map is channels-last
    grid = torch.cat([box.detach().to(maps.dtype) for box in boxes]) * scale - (0.5 if aligned else 0.0)
    image = torch.cat([torch.full((len(box),), i, device=maps.device) for i, box in enumerate(boxes)])
    x, x_weights = _line_samples(grid[:, 0], grid[:, 2], bins * samples, width, aligned)
    y, y_weights = _line_samples(grid[:, 1], grid[:, 3], bins * samples, height, aligned)
    shape = (len(grid), bins, samples * 2, bins, samples * 2)
    rows = (image[:, None] * height + y).view(shape[0], shape[1], shape[2], 1, 1) * width
    rows = rows + x.view(shape[0], 1, 1, shape[3], shape[4])
    weights = y_weights.view(shape[0], shape[1], shape[2], 1, 1) * x_weights.view(shape[0], 1, 1, shape[3], shape[4])
    weights = weights / (samples * samples)
    entries = (samples * 2) ** 2
    pooled = functional.embedding_bag(
        rows.transpose(2, 3).reshape(-1, entries),
        table,
        per_sample_weights=weights.transpose(2, 3).reshape(-1, entries),
        mode="sum",
    )
    return pooled.view(len(grid), bins, bins, channels).permute(0, 3, 1, 2)


def _line_samples(start: Tensor, end: Tensor, count: int, length: int, aligned: bool) -> tuple[Tensor, Tensor]:
    """``count`` even samples on each interval of a line of ``length`` cells, each as two cells with weights.

    start, end (S,) -> cells (S, count * 2) int64 and weights (S, count * 2). A sample over one cell outside weighs
    nothing; one less far outside takes the cell at the border.
    """
    extent = end - start if aligned else (end - start).clamp(min=1.0)
    steps = (torch.arange(count, device=start.device, dtype=start.dtype) + 0.5) / count
    position = start[:, None] + extent[:, None] * steps
    inside = (position >= -1.0) & (position <= length)
    position = position.clamp(0.0, length - 1.0)
    low = position.floor()
    fraction = position - low
    cells = torch.stack([low, (low + 1).clamp(max=length - 1.0)], -1).long()
    weights = torch.stack([1 - fraction, fraction], -1) * inside[..., None]
    return cells.flatten(1), weights.flatten(1)
