"""A small residual network of our own, for training from random weights on a CPU in minutes.

Residual blocks after He et al. 2016, one, two and two, 32 to 128 channels wide: a sixth of ResNet-18's multiply-adds.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from detect.models.backbones.network import Network

WIDTHS = (16, 32, 64, 128)


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != width:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, width, H / stride, W / stride)."""
        inner = self.relu(self.norm1(self.conv1(features)))
        summed: Tensor = self.relu(self.norm2(self.conv2(inner)) + self.shortcut(features))
        return summed


class Small(nn.Module):
    """Four stages of stride 2, 4, 8 and 16."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, WIDTHS[0], 3, 2, 1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU(inplace=True)
        )
        fine, middle, coarse = pairwise(WIDTHS)
        self.stages = nn.ModuleList(
            [Block(*fine, 2), *(nn.Sequential(Block(a, b, 2), Block(b, b, 1)) for a, b in (middle, coarse))]
        )

    def cut(self) -> Network:
        """The last stage is the tail's, then a mean over the region."""
        tail = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return Network((self.stem, *self.stages), tail, tail_stages=1, bins=7)
