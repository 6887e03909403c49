"""Regions pooled from the shared map: one pass of the body serves all proposals (Fast R-CNN, section 2.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from detect.models.backbones.necks import Backbone
from detect.models.backbones.network import StagedBody
from detect.models.slots import FeatureNetwork, RegionWindow
from detect.ops.dtype import at_least_float32
from detect.ops.roi import roi_align, roi_pool
from detect.types import Images

Pool = Literal["roi_pool", "roi_align"]


class SharedMaps:
    """Answers the questions of tools for regions that are pooled from maps of the backbone."""

    def feature_network(self, backbone: nn.Module) -> FeatureNetwork:
        """Return the backbone: it reads whole images."""
        return FeatureNetwork(
            slot="backbone",
            module=backbone,
            body=backbone.body if isinstance(backbone, Backbone) else backbone,
            run=backbone,
            input_size=None,
            pools_last_stage=isinstance(backbone, StagedBody),
        )

    def crops(
        self,
        images: Images,  # noqa: ARG002
        boxes: Sequence[Tensor],  # noqa: ARG002
        context: int | None = None,  # noqa: ARG002
    ) -> Tensor | None:
        """Return None: regions share the maps."""
        return None

    def run_layers(self, maps: Sequence[Tensor], count: int) -> int:  # noqa: ARG002
        """Run nothing, pooling has no layers; return the channels of the maps (N, C, h, w)."""
        return int(maps[0].shape[1])


class PooledRegions(SharedMaps, nn.Module):
    """Pools each box to ``pool_size`` x ``pool_size`` cells, from a map of ``stride`` pixels a cell.

    sampling_ratio and aligned are those of ``roi.roi_align``.
    """

    def __init__(self, pool: Pool, pool_size: int, stride: int, sampling_ratio: int = 2, aligned: bool = True) -> None:
        super().__init__()
        self.method: str = pool
        self.pool_size = pool_size
        self.stride = stride
        self.sampling_ratio = sampling_ratio
        self.aligned = aligned

    def forward(self, images: Images, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:  # noqa: ARG002
        """Return region maps (S, C, pool_size, pool_size), float32 at least, images one after the other.

        images are not read; maps: one (N, C, h, w), further ones are not read; boxes: N times (S_i, 4), canvas pixels.
        """
        # Weights in bf16 would have 8 bits, and gradients are summed over many boxes.
        features = at_least_float32(maps[0])
        if self.method == "roi_pool":
            return roi_pool(features, list(boxes), self.pool_size, 1.0 / self.stride)
        return roi_align(features, list(boxes), self.pool_size, 1.0 / self.stride, self.sampling_ratio, self.aligned)

    def window(self, box: Tensor) -> RegionWindow:
        """Return the window of a box (4,) on the map, in its cells."""
        return RegionWindow(self.method, box / self.stride, 0, self.stride, (self.pool_size, self.pool_size))
