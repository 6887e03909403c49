"""The region maps of the boxes of one image, whichever part makes them.

Letters: S boxes, C channels, k cells a side.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision import ops as torchvision_ops

from detect.models.regions.pooled import PooledRegions
from detect.models.regions.pyramid import PyramidRegions
from detect.models.regions.warped_crops import WarpedCrops
from detect.models.slots import Regions
from detect.ops.constants import constant
from detect.ops.dtype import at_least_float32
from detect.ops.warp import warp


def region_maps(regions: Regions, image: Tensor, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
    """Return the region maps (S, C, k, k) of boxes (S, 4), from the image (1, 3, h, w) or its maps (1, C, h', w').

    Raises ValueError for regions of another kind.
    """
    if isinstance(regions, WarpedCrops):
        return _warped(regions, image, boxes)
    if isinstance(regions, PooledRegions):
        return _pooled(regions, maps[0], boxes)
    if isinstance(regions, PyramidRegions):
        return _pooled_from_pyramid(regions, maps, boxes)
    raise ValueError(f"expected regions that are pooled or warped, found {regions.method}")


def runs_on_crops(regions: Regions) -> bool:
    """Return whether each region has a crop of its own, of which a graph runs a fixed number."""
    return isinstance(regions, WarpedCrops)


def _warped(regions: WarpedCrops, image: Tensor, boxes: Tensor) -> Tensor:
    """Run the body on the crops of a fixed number of boxes, ``batch_size`` at a time.

    The graph has the body once for each batch: the maps of all 2,000 crops would take 26 GB with VGG16.
    """
    size = (image.shape[2], image.shape[3])
    crops = (
        warp(image, (size,), (part,), regions.crop_size, regions.context)
        for part in torch.split(boxes, regions.batch_size)
    )
    return torch.cat([adaptive_max_pool(regions.body(part)[-1].float(), regions.pool_size) for part in crops])


def adaptive_max_pool(features: Tensor, count: int) -> Tensor:
    """Pool maps (S, C, h, w) to (S, C, count, count) by the bins of torch's ``adaptive_max_pool2d``.

    ONNX has no such operator, but it has slices and their maxima, first of the rows and then of the columns.
    """
    if features.shape[2:] == (count, count):
        return features
    for axis in (2, 3):
        length = features.shape[axis]
        bins = [(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]
        parts = [features.narrow(axis, start, end - start).amax(axis, keepdim=True) for start, end in bins]
        features = torch.cat(parts, axis)
    return features


def _pooled(regions: PooledRegions, features: Tensor, boxes: Tensor) -> Tensor:
    """Pool boxes from one map by torchvision's operators, each of which is one operator of ONNX too."""
    features = at_least_float32(features)
    side, scale = (regions.pool_size, regions.pool_size), 1.0 / regions.stride
    pooled: Tensor  # torchvision's operators have no types
    if regions.method == "roi_pool":
        boxes = boxes - constant((0, 0, 1, 1), boxes)  # see ``ops.roi.roi_pool``
        pooled = torchvision_ops.roi_pool(features, _rows(boxes), side, scale)
    else:
        pooled = torchvision_ops.roi_align(features, _rows(boxes), side, scale, regions.sampling_ratio, regions.aligned)
    return pooled


def _pooled_from_pyramid(regions: PyramidRegions, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
    """Pool the boxes of each map from it, then bring them back into their order."""
    level = regions.assign_levels(boxes)
    parts = [
        _pooled(pooled, features, boxes[(level == i).nonzero().flatten()])  # type: ignore[arg-type]
        for i, (pooled, features) in enumerate(zip(regions.levels, maps, strict=False))
    ]
    count = boxes.shape[0]
    order = (level * count + torch.arange(count, device=level.device)).argsort()  # no two keys are equal
    return torch.cat(parts)[order.argsort()]


def _rows(boxes: Tensor) -> Tensor:
    """Return boxes (S, 4) as torchvision's rows (S, 5) of the first image."""
    return torch.cat([torch.zeros_like(boxes[:, :1]), boxes], 1)
