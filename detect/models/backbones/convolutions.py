"""Convolutions that keep the size of their map, and what makes a coarse map as large as a fine one, by kind.

Letters: C channels in, W channels out, a kernel of k x k cells.
"""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from detect.types import Size

ConvolutionKind = Literal["standard", "dilated", "separable", "grouped"]
Upsampling = Literal["nearest", "transposed"]

DILATION = 2  # a 3x3 kernel sees what a 5x5 one does
GROUPS = 32  # ResNeXt's (Xie et al. 2017, table 1)


def same_size(kind: ConvolutionKind, channels: int, width: int, kernel: int, bias: bool = True) -> nn.Module:
    """C channels -> W channels, the map's size kept by zeros around it; ``kernel`` is odd.

    standard: k * k * C * W weights. dilated: as many, DILATION cells apart. separable: k * k * C + C * W, one kernel
    for each channel, then 1x1 (Howard et al. 2017, arXiv:1704.04861, section 3.1, without what stands between the two).
    grouped: k * k * C * W / G, for G = GROUPS or the largest smaller power of two that divides C and W.
    """
    if kind == "separable":
        each = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
        return nn.Sequential(each, same_size("standard", channels, width, 1, bias))
    dilation = DILATION if kind == "dilated" else 1
    groups = math.gcd(GROUPS, channels, width) if kind == "grouped" else 1
    padding = dilation * (kernel // 2)
    return nn.Conv2d(channels, width, kernel, padding=padding, dilation=dilation, groups=groups, bias=bias)


class Nearest(nn.Module):
    """Each cell of the fine map takes the coarse cell that it lies in."""

    def forward(self, coarse: Tensor, size: Size) -> Tensor:
        """(N, C, H, W) -> (N, C, *size)."""
        return functional.interpolate(coarse, size=size, mode="nearest")


class Transposed(nn.Module):
    """A learned step to twice the resolution: each coarse cell makes 2x2 fine ones (4 * C * C weights).

    It begins as ``Nearest``. For maps whose strides differ by 2: one row or column more than twice the coarse map's, as
    networks without padding have it, repeats the last; one fewer is cut off.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.step = nn.ConvTranspose2d(channels, channels, 2, stride=2, bias=False)
        nn.init.zeros_(self.step.weight)
        for channel in range(channels):
            nn.init.ones_(self.step.weight[channel, channel])

    def forward(self, coarse: Tensor, size: Size) -> Tensor:
        """(N, C, H, W) -> (N, C, *size)."""
        doubled: Tensor = self.step(coarse)
        below, right = (max(0, wanted - found) for wanted, found in zip(size, doubled.shape[2:], strict=True))
        if below or right:
            doubled = functional.pad(doubled, (0, right, 0, below), mode="replicate")
        return doubled[:, :, : size[0], : size[1]]


def upsampling(kind: Upsampling, channels: int) -> nn.Module:
    """What makes the coarse map as large as the fine one."""
    return Transposed(channels) if kind == "transposed" else Nearest()
