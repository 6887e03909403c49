"""Regions pooled from a feature pyramid, each from the map that fits its size (Lin et al. 2017, equation 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from detect.models.regions.pooled import Pool, PooledRegions, SharedMaps
from detect.models.slots import RegionWindow
from detect.ops import boxes as box_ops
from detect.types import Images

CANONICAL_BOX_SIZE = 224  # ImageNet's crops
CANONICAL_LEVEL = 4  # a box of that size is pooled at stride 2^4, as in the ResNet detectors without a pyramid
ROUNDING = 1e-6  # so that a box of exactly 224 pixels is not assigned to a finer level


class PyramidRegions(SharedMaps, nn.Module):
    """Pools as PooledRegions does, from the map that fits each box: a box of twice the side uses the next coarser map.

    strides: those of the maps to pool from, finest first. A coarser map after these is for proposals only.
    """

    def __init__(
        self, pool: Pool, pool_size: int, strides: Sequence[int], sampling_ratio: int = 2, aligned: bool = True
    ) -> None:
        super().__init__()
        self.method: str = pool
        self.pool_size = pool_size
        self.levels = nn.ModuleList(
            PooledRegions(pool, pool_size, stride, sampling_ratio, aligned) for stride in strides
        )
        self.finest, self.coarsest = (round(math.log2(stride)) for stride in (strides[0], strides[-1]))

    def forward(self, images: Images, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Return region maps (S, C, pool_size, pool_size), float32 at least, images one after the other.

        maps: (N, C, h, w) of each level, finest first; boxes: N times (S_i, 4) in canvas pixels.
        """
        num_images, num_levels = len(boxes), len(self.levels)
        all_boxes = torch.cat(list(boxes))
        image = torch.cat([torch.full_like(part[:, 0], i, dtype=torch.int64) for i, part in enumerate(boxes)])
        # Sorted by map, then image: a GPU waits once for the number of boxes of each pair, not for each mask.
        group = self.assign_levels(all_boxes) * num_images + image
        order = group.argsort(stable=True)
        counts = group.bincount(minlength=num_levels * num_images).tolist()
        parts = torch.split(all_boxes[order], counts)
        region_maps = [
            pooled(images, [features], parts[level * num_images : (level + 1) * num_images])
            for level, (pooled, features) in enumerate(zip(self.levels, maps, strict=False))
        ]
        return torch.cat(region_maps)[order.argsort()]

    def assign_levels(self, boxes: Tensor) -> Tensor:
        """Return the index (S,) int64 of the map that each of the boxes (S, 4) is pooled from.

        Example: with strides 4, 8, 16 and 32 a box of 224 x 224 pixels gets index 2 (stride 16), one of 112 x 112
        index 1, one of 448 x 448 index 3, and one of 20 x 20 index 0, the finest that there is.
        """
        octave = torch.log2(box_ops.areas(boxes).sqrt() / CANONICAL_BOX_SIZE)
        level = torch.floor(CANONICAL_LEVEL + octave + ROUNDING)
        return level.clamp(self.finest, self.coarsest).long() - self.finest

    def window(self, box: Tensor) -> RegionWindow:
        """Return the window of a box (4,) on its map, in the cells of that map."""
        level = int(self.assign_levels(box[None])[0])
        pooled = self.levels[level]
        assert isinstance(pooled, PooledRegions)
        return replace(pooled.window(box), map_index=level)
