"""A tail made anew from convolutions: what today's heads have in place of a fully connected layer.

Four 3x3 convolutions and one fully connected layer (Wu and He 2018, section 4.2): less to learn than two fully
connected layers, more to compute.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detect.models.backbones.normalization import NewNorm, convolution


class Convolved(nn.Module):
    """Convolutions as wide as the map, then one fully connected layer of ``width``."""

    def __init__(self, channels: int, bins: int, convolutions: int, width: int, norm: NewNorm | None) -> None:
        super().__init__()
        blocks = [convolution(channels, channels, 3, norm) for _ in range(convolutions)]
        for block in blocks:
            block.append(nn.ReLU())
        linear = nn.Linear(channels * bins * bins, width)
        self.layers = nn.Sequential(*blocks, nn.Flatten(), linear, nn.ReLU())
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        self.features = width

    def forward(self, regional: Tensor) -> Tensor:
        """(S, C, bins, bins) -> (S, width)."""
        vectors: Tensor = self.layers(regional)
        return vectors


ROWS = 256  # regions at a time; ResNet's last stage reads 60 MB of weights for each piece, so not many fewer


def vectors_of(tail: nn.Module, regional: Tensor) -> Tensor:
    """Region maps (S, C, h, w) -> the tail's vectors (S, F).

    Without gradients in pieces: of 8,000 regions (four images of R-CNN's) one map of MobileNetV2's last stage has 2 GB,
    of 256 it has 64 MB.
    """
    if torch.is_grad_enabled() or tail.training or len(regional) <= ROWS:
        vectors: Tensor = tail(regional)
        return vectors
    return torch.cat([tail(piece) for piece in torch.split(regional, ROWS)])


class TwoLinear(nn.Module):
    """A tail made anew: two fully connected layers, for bodies whose network has none."""

    def __init__(self, channels: int, bins: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(channels * bins * bins, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.features = width

    def forward(self, regional: Tensor) -> Tensor:
        """(S, C, bins, bins) -> (S, width)."""
        vectors: Tensor = self.layers(regional)
        return vectors
