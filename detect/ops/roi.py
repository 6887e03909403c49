"""Region-of-interest pooling: a fixed grid of features for each box.

Letters: N images, C channels, H x W map; S boxes; an output of ``output_size`` x ``output_size`` cells, K for short.
Boxes are in image pixels, and are rounded to the type of the maps; ``spatial_scale`` is map cells per pixel
(1 / stride).

On a CPU a box with a NaN or infinite corner is refused (ValueError). On a GPU a check would make the host wait for the
device, so that there is none, and what such a box gives is undefined.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torchvision import ops as torchvision_ops

from detect.ops.constants import constant


def roi_pool(maps: Tensor, boxes: list[Tensor], output_size: int, spatial_scale: float) -> Tensor:
    """Pool the maximum of each cell of a grid that divides the rounded box (Fast R-CNN, section 2.1).

    maps (N, C, H, W); boxes: N times (S_i, 4) -> (S, C, K, K), images one after the other.
    The kernel rounds inclusive corners, as the paper's code does: the last pixel of a box is x2 - 1. Raises ValueError
    for boxes of other shapes or that are not finite (see the module's docstring).
    """
    _check_boxes(maps, boxes)
    last_pixel = [box.to(maps.dtype) - constant((0, 0, 1, 1), maps) for box in boxes]
    pooled: Tensor = torchvision_ops.roi_pool(maps, last_pixel, (output_size, output_size), spatial_scale)
    return pooled


def roi_align(
    maps: Tensor,
    boxes: list[Tensor],
    output_size: int,
    spatial_scale: float,
    sampling_ratio: int = 2,
    aligned: bool = True,
) -> Tensor:
    """Pool the mean of bilinear samples in each cell of a grid that divides the exact box (Mask R-CNN, section 3).

    maps (N, C, H, W); boxes: N times (S_i, 4) -> (S, C, K, K), images one after the other. ``sampling_ratio`` is the
    number of points along each side of a cell; 0 takes ceil(box side / K) of them, which only torchvision's kernel
    does. ``aligned`` puts the center of map cell 0 at half a cell; without it boxes are also widened to at least one
    cell, as in older code. Gradients reach the maps, not the boxes. Raises ValueError for a ``sampling_ratio`` below 0,
    and for boxes of other shapes or that are not finite (see the module's docstring).
    """
    if sampling_ratio < 0:  # torchvision takes it for 0, so that a typing error would pass
        raise ValueError(f"sampling_ratio: expected 0 (adaptive) or more, found {sampling_ratio}")
    _check_boxes(maps, boxes)
    repeats = torch.are_deterministic_algorithms_enabled()  # torchvision's gradient on CUDA differs from run to run
    if (maps.is_cuda and not repeats) or sampling_ratio == 0:
        pooled: Tensor = torchvision_ops.roi_align(
            maps,
            [box.to(maps.dtype) for box in boxes],
            (output_size, output_size),
            spatial_scale,
            sampling_ratio,
            aligned,
        )
        return pooled
    return _roi_align_embedding_bag(maps, boxes, output_size, spatial_scale, sampling_ratio, aligned)


def _check_boxes(maps: Tensor, boxes: list[Tensor]) -> None:
    """Raise ValueError for boxes of other shapes than N times (S_i, 4), on a CPU also for a corner not finite."""
    shapes = [tuple(box.shape) for box in boxes]
    if len(boxes) != len(maps) or any(shape[1:] != (4,) for shape in shapes):
        raise ValueError(
            f"boxes: expected (S, 4) for each of {len(maps)} images, found {str(shapes)[1:-1] or 'nothing'}"
        )
    for image, box in enumerate(boxes):
        if box.device.type == "cpu" and not box.isfinite().all():
            row = int((~box.isfinite()).any(dim=1).nonzero()[0])
            raise ValueError(f"boxes: expected finite corners, found {box[row].tolist()} as box {row} of image {image}")


def _roi_align_embedding_bag(
    maps: Tensor, boxes: list[Tensor], output_size: int, spatial_scale: float, sampling_ratio: int, aligned: bool
) -> Tensor:
    """Compute ``roi_align`` with torch's embedding bag, a sum of weighted rows of a table.

    On a CPU torchvision's kernel is scalar and single-threaded; this one uses all cores.

    RoIAlign is a weighted sum of map cells. The table has one row of C channels for each map cell, N * H * W rows. Each
    output cell is one bag: ``sampling_ratio`` ^ 2 bilinear samples, each with the four map cells around it and their
    weights, so (2 * sampling_ratio) ^ 2 entries. Rows and weights are products of those of the two axes.

    Example along x: the box from 4 to 12 pixels, stride 4, aligned, is from 4 / 4 - 0.5 = 0.5 to 2.5 in cells. Two
    output cells with 2 samples each make 4 samples, at 0.75, 1.25, 1.75 and 2.25. The sample at 0.75 reads cell 0 with
    the weight 0.25 and cell 1 with 0.75. Along y it is the same, so an output cell has 16 entries, and the weight of
    an entry is its x weight times its y weight, divided by the 4 samples of the cell.
    """
    _, channels, height, width = maps.shape
    table = maps.permute(0, 2, 3, 1).reshape(-1, channels)  # a view where the map is channels-last
    grid = torch.cat([box.detach().to(maps.dtype) for box in boxes]) * spatial_scale - (0.5 if aligned else 0.0)
    image = torch.cat([torch.full((len(box),), i, device=maps.device) for i, box in enumerate(boxes)])
    x, x_weights = _bilinear_samples_1d(grid[:, 0], grid[:, 2], output_size * sampling_ratio, width, aligned)
    y, y_weights = _bilinear_samples_1d(grid[:, 1], grid[:, 3], output_size * sampling_ratio, height, aligned)
    shape = (len(grid), output_size, sampling_ratio * 2, output_size, sampling_ratio * 2)
    rows = (image[:, None] * height + y).view(shape[0], shape[1], shape[2], 1, 1) * width
    rows = rows + x.view(shape[0], 1, 1, shape[3], shape[4])
    weights = y_weights.view(shape[0], shape[1], shape[2], 1, 1) * x_weights.view(shape[0], 1, 1, shape[3], shape[4])
    weights = weights / (sampling_ratio * sampling_ratio)
    entries = (sampling_ratio * 2) ** 2
    pooled = functional.embedding_bag(
        rows.transpose(2, 3).reshape(-1, entries),
        table,
        per_sample_weights=weights.transpose(2, 3).reshape(-1, entries),
        mode="sum",
    )
    return pooled.view(len(grid), output_size, output_size, channels).permute(0, 3, 1, 2)


def _bilinear_samples_1d(start: Tensor, end: Tensor, count: int, length: int, aligned: bool) -> tuple[Tensor, Tensor]:
    """Return the two cells and weights of each of ``count`` even samples of intervals on a line of ``length`` cells.

    start, end (S,) in cells -> cells (S, count * 2) int64 and weights (S, count * 2). A sample more than one cell
    outside has the weight 0; one less far outside takes the value of the border cell.
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
