"""Regions pooled from the shared map: one pass of the body serves all proposals (Fast R-CNN, section 2.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from detect.ops.dtype import at_least_float32
from detect.ops.roi import roi_align, roi_pool
from detect.types import Images

Pool = Literal["roi_pool", "roi_align"]


class PooledRegions(nn.Module):
    """Pools each box to ``pool_size`` x ``pool_size`` cells, from a map of ``stride`` pixels a cell.

    sampling_ratio and aligned are those of ``roi.roi_align``.
    """

    def __init__(self, pool: Pool, pool_size: int, stride: int, sampling_ratio: int = 2, aligned: bool = True) -> None:
        super().__init__()
        self.pool = pool
        self.pool_size = pool_size
        self.stride = stride
        self.sampling_ratio = sampling_ratio
        self.aligned = aligned

    def forward(self, images: Images, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:  # noqa: ARG002
        """Return region maps (S, C, pool_size, pool_size), float32 at least, images one after the other.

        images are not read; maps: one (N, C, h, w), further ones are not read; boxes: N times (S_i, 4), canvas pixels.
        """
        features = at_least_float32(
            maps[0]
        )  # weights in bf16 would have 8 bits, and gradients are summed over many boxes
        if self.pool == "roi_pool":
            return roi_pool(features, list(boxes), self.pool_size, 1.0 / self.stride)
        return roi_align(features, list(boxes), self.pool_size, 1.0 / self.stride, self.sampling_ratio, self.aligned)
