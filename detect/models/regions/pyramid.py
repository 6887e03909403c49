"""Regions cut from a feature pyramid: each from the map whose cells fit its size (Lin et al. 2017, equation 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detect.models.regions.pooled import Pool, PooledRegions
from detect.ops import boxes as box_ops
from detect.types import Images

USUAL_SIDE, USUAL_LEVEL = 224, 4  # ImageNet's crops, and the stride that ResNet's detectors had cut them at: 2^4
ROUNDING = 1e-6  # so that a box of exactly 224 pixels is not a level too fine


class PyramidRegions(nn.Module):
    """As PooledRegions, with the map chosen for each box: a box of twice the side comes from the next coarser one.

    strides: of the maps to choose from, finest first; a map after those is for proposals only.
    """

    def __init__(self, pool: Pool, bins: int, strides: Sequence[int], samples: int = 2, aligned: bool = True) -> None:
        super().__init__()
        self.pool = pool
        self.bins = bins
        self.levels = nn.ModuleList(PooledRegions(pool, bins, stride, samples, aligned) for stride in strides)
        self.finest, self.coarsest = (round(math.log2(stride)) for stride in (strides[0], strides[-1]))

    def forward(self, images: Images, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Boxes: N times (S_i, 4) in canvas pixels -> (S, C, bins, bins), images one after the other."""
        chosen = [self.map_of(own) for own in boxes]
        parts, places = [], []
        for level, (pooled, features) in enumerate(zip(self.levels, maps, strict=False)):
            here = [own == level for own in chosen]
            parts.append(pooled(images, [features], [own[mask] for own, mask in zip(boxes, here, strict=True)]))
            places.append(torch.cat(here).nonzero().flatten())
        return torch.cat(parts)[torch.cat(places).argsort()]

    def map_of(self, boxes: Tensor) -> Tensor:
        """Boxes (S, 4) -> (S,) int64, the place of each one's map."""
        octave = torch.log2(box_ops.areas(boxes).sqrt() / USUAL_SIDE)
        level = torch.floor(USUAL_LEVEL + octave + ROUNDING)
        return level.clamp(self.finest, self.coarsest).long() - self.finest
