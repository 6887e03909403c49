"""Necks: modules that combine the maps of a body, and the backbone of body and neck.

Letters: N images, W output channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from detect.models.backbones.convolutions import ConvType, Upsampling, make_upsampling, same_padding_conv
from detect.models.backbones.normalization import NewNorm, conv_norm


class MergeLastTwo(nn.Module):
    """Merges the last two maps into one at the finer stride: coarse maps classify better, fine ones localize better.

    It is one step of a feature pyramid (Lin et al. 2017, figure 3): 1x1 convolutions to ``out_channels``, the coarse
    map upsampled and added, a 3x3 convolution.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int,
        conv_type: ConvType = "standard",
        upsampling: Upsampling = "nearest",
    ) -> None:
        """Build the layers. conv_type: of the 3x3 convolution; upsampling: how the coarse map is resized."""
        super().__init__()
        fine, coarse = in_channels
        self.fine = nn.Conv2d(fine, out_channels, 1)
        self.coarse = nn.Conv2d(coarse, out_channels, 1)
        self.smooth = same_padding_conv(conv_type, out_channels, out_channels, 3)
        self.up = make_upsampling(upsampling, out_channels)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_uniform_(layer.weight, a=1)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor]:
        """Merge two maps, finest first -> one map (N, W, h, w) of the size of the finer."""
        fine, coarse = maps
        return (self.smooth(self.fine(fine) + self.up(self.coarse(coarse), fine.shape[2:])),)


class FPN(nn.Module):
    """A feature pyramid network (Lin et al. 2017): maps of several strides become as many of ``out_channels``, and one.

    Each map gets a 1x1 convolution, to which the upsampled sum of the next coarser map is added, and then a 3x3
    convolution. The additional coarsest map is every other cell of the one below; it is for large anchors only.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int,
        norm: NewNorm | None = None,
        conv_type: ConvType = "standard",
        upsampling: Upsampling = "nearest",
    ) -> None:
        """Build the layers. conv_type: of the 3x3 convolutions; upsampling: how a coarser sum is resized."""
        super().__init__()
        self.lateral = nn.ModuleList(conv_norm(channels, out_channels, 1, norm) for channels in in_channels)
        self.smooth = nn.ModuleList(conv_norm(out_channels, out_channels, 3, norm, conv_type) for _ in in_channels)
        self.up = nn.ModuleList(make_upsampling(upsampling, out_channels) for _ in in_channels[1:])
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_uniform_(layer.weight, a=1)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Compute the pyramid: L maps, finest first -> L + 1 maps (N, W, h, w), finest first."""
        sums = [lateral(features) for lateral, features in zip(self.lateral, maps, strict=True)]
        for level in reversed(range(len(sums) - 1)):
            sums[level] = sums[level] + self.up[level](sums[level + 1], sums[level].shape[2:])
        levels = [smooth(level_sum) for smooth, level_sum in zip(self.smooth, sums, strict=True)]
        return (*levels, functional.max_pool2d(levels[-1], kernel_size=1, stride=2))


class Backbone(nn.Module):
    """A backbone: the body, then the neck on its maps."""

    def __init__(self, body: nn.Module, neck: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.neck = neck

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Compute the shared maps: (N, 3, H, W) -> maps (N, W, h, w), finest first."""
        maps: tuple[Tensor, ...] = self.neck(self.body(pixels.to(memory_format=torch.channels_last)))
        return maps
