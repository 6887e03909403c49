"""Convolutions that keep the size of their map, and upsampling of coarse maps, each by name.

Letters: N images, C input channels, W output channels, a kernel of k x k cells.
"""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from detect.types import Size

ConvType = Literal["standard", "dilated", "separable", "grouped"]
Upsampling = Literal["nearest", "transposed"]

DILATION = 2  # a 3x3 kernel covers the area of a 5x5 one
CONV_GROUPS = 32  # ResNeXt's (Xie et al. 2017, table 1)


def same_padding_conv(kind: ConvType, in_channels: int, out_channels: int, kernel: int, bias: bool = True) -> nn.Module:
    """Build a convolution (N, C, H, W) -> (N, W, H, W), with zero padding; ``kernel`` is odd.

    standard: k * k * C * W weights. dilated: as many weights, DILATION cells apart. separable: k * k * C + C * W
    weights, one kernel for each channel, then a 1x1 convolution (Howard et al. 2017, arXiv:1704.04861, section 3.1,
    without the layers between the two). grouped: k * k * C * W / G weights, where G is CONV_GROUPS or the largest
    smaller power of two that divides C and W.
    """
    if kind == "separable":
        depthwise = nn.Conv2d(in_channels, in_channels, kernel, padding=kernel // 2, groups=in_channels, bias=False)
        return nn.Sequential(depthwise, same_padding_conv("standard", in_channels, out_channels, 1, bias))
    dilation = DILATION if kind == "dilated" else 1
    groups = math.gcd(CONV_GROUPS, in_channels, out_channels) if kind == "grouped" else 1
    padding = dilation * (kernel // 2)
    return nn.Conv2d(in_channels, out_channels, kernel, padding=padding, dilation=dilation, groups=groups, bias=bias)


class NearestUpsampling(nn.Module):
    """Nearest-neighbor upsampling: each cell of the fine map gets the value of the coarse cell that it lies in."""

    def forward(self, coarse: Tensor, size: Size) -> Tensor:
        """Upsample (N, C, H, W) -> (N, C, *size)."""
        return functional.interpolate(coarse, size=size, mode="nearest")


class TransposedUpsampling(nn.Module):
    """Learned upsampling by 2, a transposed convolution: each coarse cell gives 2x2 fine ones (4 * C * C weights).

    Its initial weights make it ``NearestUpsampling``. It is for maps whose strides differ by a factor of 2. Where the
    fine map has one row or column more than twice the coarse map's, as in networks without padding, the last one is
    repeated; where it has one less, the last one is cut off.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.step = nn.ConvTranspose2d(channels, channels, 2, stride=2, bias=False)
        nn.init.zeros_(self.step.weight)
        for channel in range(channels):
            nn.init.ones_(self.step.weight[channel, channel])

    def forward(self, coarse: Tensor, size: Size) -> Tensor:
        """Upsample (N, C, H, W) -> (N, C, *size)."""
        doubled: Tensor = self.step(coarse)
        below, right = (max(0, target - length) for target, length in zip(size, doubled.shape[2:], strict=True))
        if below or right:
            doubled = functional.pad(doubled, (0, right, 0, below), mode="replicate")
        return doubled[:, :, : size[0], : size[1]]


def make_upsampling(kind: Upsampling, channels: int) -> nn.Module:
    """Build the module that resizes a coarse map to the size of a fine one: ``module(coarse, size)``."""
    return TransposedUpsampling(channels) if kind == "transposed" else NearestUpsampling()
