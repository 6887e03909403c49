"""A small residual network, for training from random weights on a CPU in minutes.

It has one, two and two residual blocks (He et al. 2016) of 32 to 128 channels: a sixth of ResNet-18's multiply-adds.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from detect.models.backbones.network import SplitNetwork

CHANNELS = (16, 32, 64, 128)


class ResidualBlock(nn.Module):
    """A residual block: two 3x3 convolutions and a shortcut."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, features: Tensor) -> Tensor:
        """Run the block: (N, C, H, W) -> (N, channels, H / stride, W / stride)."""
        inner = self.relu(self.norm1(self.conv1(features)))
        summed: Tensor = self.relu(self.norm2(self.conv2(inner)) + self.shortcut(features))
        return summed


class SmallResNet(nn.Module):
    """A residual network of four stages, of stride 2, 4, 8 and 16."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, CHANNELS[0], 3, 2, 1, bias=False), nn.BatchNorm2d(CHANNELS[0]), nn.ReLU(inplace=True)
        )
        fine, middle, coarse = pairwise(CHANNELS)
        self.stages = nn.ModuleList(
            [
                ResidualBlock(*fine, 2),
                *(nn.Sequential(ResidualBlock(a, b, 2), ResidualBlock(b, b, 1)) for a, b in (middle, coarse)),
            ]
        )

    def split(self) -> SplitNetwork:
        """Split into stages and tail: the last stage and a mean over the region are the tail."""
        tail = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return SplitNetwork((self.stem, *self.stages), tail, tail_stages=1, pool_size=7)
