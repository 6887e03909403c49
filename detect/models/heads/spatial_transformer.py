"""A Spatial Transformer between the pooled region and the tail.

Jaderberg, Simonyan, Zisserman and Kavukcuoglu 2015, "Spatial Transformer Networks" (arXiv:1506.02025), section 3: a
small network predicts an affine transformation from the map, and the map is resampled by it, so that the tail gets
objects in a rotation, position and scale that suit it. It has no loss of its own: the detector's losses train it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from detect.ops.dtype import at_least_float32

CHANNELS = (
    32  # of the localization network: 125,000 weights for 256 channels and 7 x 7 cells; TwoLayerFC has 13 million
)
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # x' = 1 x + 0 y + 0, y' = 0 x + 1 y + 0, in -1..1 of the map


class SpatialTransformer(nn.Module):
    """Resamples each (C, pool_size, pool_size) map by its predicted transformation; initially the identity.

    The weights of the last layer of the localization network are initially 0 (the paper's section 4.1). The network
    consists of convolutions; the second one is as large as the map, so it is a fully connected layer.
    """

    def __init__(self, channels: int, pool_size: int) -> None:
        super().__init__()
        self.localisation = nn.Sequential(
            nn.Conv2d(channels, CHANNELS, 3, padding=1), nn.ReLU(), nn.Conv2d(CHANNELS, CHANNELS, pool_size), nn.ReLU()
        )
        self.transformation = nn.Conv2d(CHANNELS, len(IDENTITY), 1)
        nn.init.zeros_(self.transformation.weight)
        with torch.no_grad():
            bias = self.transformation.bias
            assert bias is not None
            bias.copy_(torch.tensor(IDENTITY))

    def forward(self, regional: Tensor) -> Tensor:
        """Resample maps (S, C, pool_size, pool_size) -> the same shape; bilinear, 0 outside the map."""
        affine = at_least_float32(self.transformation(self.localisation(regional))).view(-1, 2, 3, 1, 1)
        pool_size = regional.shape[2]
        centers = (torch.arange(pool_size, device=affine.device, dtype=affine.dtype) * 2 + 1) / pool_size - 1
        sample_points = affine[:, :, 0] * centers + affine[:, :, 1] * centers[:, None] + affine[:, :, 2]  # (S, 2, h, w)
        return functional.grid_sample(regional, sample_points.movedim(1, 3), align_corners=False)
