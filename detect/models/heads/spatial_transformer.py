"""A Spatial Transformer between the pooled region and the tail.

Jaderberg, Simonyan, Zisserman and Kavukcuoglu 2015, "Spatial Transformer Networks" (arXiv:1506.02025), section 3: a
small network looks at the map and says by which affine transformation it is sampled anew, so that the tail sees objects
turned, moved and scaled to its liking. Nothing but the detector's own losses teaches it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from detect.ops.dtype import widen

WIDTH = 32  # channels of the localisation network: with 256 in and 7 x 7 cells 125,000 weights, a tail of 2 FC has 13 M
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # x' = 1 x + 0 y + 0, y' = 0 x + 1 y + 0, in -1..1 of the map


class SpatialTransformer(nn.Module):
    """Samples each (C, bins, bins) map where its own transformation says; it begins as the identity.

    The last layer of the localisation network begins with weights of 0 (the paper's section 4.1). It is made of
    convolutions, the second as large as the map, which is a fully connected layer.
    """

    def __init__(self, channels: int, bins: int) -> None:
        super().__init__()
        self.localisation = nn.Sequential(
            nn.Conv2d(channels, WIDTH, 3, padding=1), nn.ReLU(), nn.Conv2d(WIDTH, WIDTH, bins), nn.ReLU()
        )
        self.transformation = nn.Conv2d(WIDTH, len(IDENTITY), 1)
        nn.init.zeros_(self.transformation.weight)
        with torch.no_grad():
            bias = self.transformation.bias
            assert bias is not None
            bias.copy_(torch.tensor(IDENTITY))

    def forward(self, regional: Tensor) -> Tensor:
        """(S, C, bins, bins) -> the same shape: bilinear looks, 0 outside the map."""
        affine = widen(self.transformation(self.localisation(regional))).view(-1, 2, 3, 1, 1)
        bins = regional.shape[2]
        centres = (torch.arange(bins, device=affine.device, dtype=affine.dtype) * 2 + 1) / bins - 1
        looks = affine[:, :, 0] * centres + affine[:, :, 1] * centres[:, None] + affine[:, :, 2]  # (S, 2, bins, bins)
        return functional.grid_sample(regional, looks.movedim(1, 3), align_corners=False)
