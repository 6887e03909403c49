"""What stands between a body and the rest: several maps made into one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from detect.models.backbones.convolutions import ConvolutionKind, Upsampling, same_size, upsampling
from detect.models.backbones.normalization import NewNorm, convolution


class Merge(nn.Module):
    """The last two maps as one at the finer stride: the coarse map knows what, the fine one knows where.

    One step of a feature pyramid (Lin et al. 2017, figure 3): 1x1 convolutions to ``width`` channels, the coarse map
    upsampled and added, a 3x3 convolution.
    """

    def __init__(
        self, channels: Sequence[int], width: int, kind: ConvolutionKind = "standard", up: Upsampling = "nearest"
    ) -> None:
        """kind: of the 3x3 convolution; up: how the coarse map becomes as large as the fine one."""
        super().__init__()
        fine, coarse = channels
        self.fine = nn.Conv2d(fine, width, 1)
        self.coarse = nn.Conv2d(coarse, width, 1)
        self.smooth = same_size(kind, width, width, 3)
        self.up = upsampling(up, width)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_uniform_(layer.weight, a=1)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor]:
        """Two maps, finest first -> one of ``width`` channels."""
        fine, coarse = maps
        return (self.smooth(self.fine(fine) + self.up(self.coarse(coarse), fine.shape[2:])),)


class Backbone(nn.Module):
    """Body, then neck."""

    def __init__(self, body: nn.Module, neck: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.neck = neck

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) -> maps, finest first."""
        maps: tuple[Tensor, ...] = self.neck(self.body(pixels.to(memory_format=torch.channels_last)))
        return maps


class Pyramid(nn.Module):
    """Maps of several strides -> as many of ``width`` channels, and one more above them.

    A 1x1 convolution of each map, to which the next coarser result is added, upsampled; a 3x3 convolution of each
    sum. The map above the coarsest one is every other cell of it: for large anchors only.
    """

    def __init__(
        self,
        channels: Sequence[int],
        width: int,
        norm: NewNorm | None = None,
        kind: ConvolutionKind = "standard",
        up: Upsampling = "nearest",
    ) -> None:
        """kind: of the 3x3 convolutions; up: how a coarser sum becomes as large as the finer one."""
        super().__init__()
        self.lateral = nn.ModuleList(convolution(each, width, 1, norm) for each in channels)
        self.smooth = nn.ModuleList(convolution(width, width, 3, norm, kind) for _ in channels)
        self.up = nn.ModuleList(upsampling(up, width) for _ in channels[1:])
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_uniform_(layer.weight, a=1)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Finest first -> finest first."""
        sums = [lateral(features) for lateral, features in zip(self.lateral, maps, strict=True)]
        for level in reversed(range(len(sums) - 1)):
            sums[level] = sums[level] + self.up[level](sums[level + 1], sums[level].shape[2:])
        levels = [smooth(each) for smooth, each in zip(self.smooth, sums, strict=True)]
        return (*levels, functional.max_pool2d(levels[-1], kernel_size=1, stride=2))
