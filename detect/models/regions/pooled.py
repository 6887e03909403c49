"""Regions cut from the shared map: one pass of the body serves all proposals (Fast R-CNN, section 2.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from detect.ops.dtype import widen
from detect.ops.roi import roi_align, roi_pool
from detect.types import Images

Pool = Literal["roi_pool", "roi_align"]


class PooledRegions(nn.Module):
    """Pools each box to ``bins`` x ``bins`` cells of a map of ``stride`` pixels a cell.

    samples and aligned are RoIAlign's (``roi.roi_align``).
    """

    def __init__(self, pool: Pool, bins: int, stride: int, samples: int = 2, aligned: bool = True) -> None:
        super().__init__()
        self.pool = pool
        self.bins = bins
        self.stride = stride
        self.samples = samples
        self.aligned = aligned

    def forward(self, images: Images, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:  # noqa: ARG002
        """Boxes: N times (S_i, 4) in canvas pixels -> (S, C, bins, bins), images one after the other, float32."""
        features = widen(maps[0])  # weights in bf16 would have 8 bits, and gradients are summed over many boxes
        if self.pool == "roi_pool":
            return roi_pool(features, list(boxes), self.bins, 1.0 / self.stride)
        return roi_align(features, list(boxes), self.bins, 1.0 / self.stride, self.samples, self.aligned)
