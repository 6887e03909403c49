"""Tails that are built new, in place of the network's own layers, and running a tail without filling the memory.

A tail turns region maps into the vectors that the classifier reads. Letters: S regions, C channels, F the length of a
vector. ``TwoLayerFC`` has two fully connected layers, as Fast R-CNN with VGG16 (torchvision's ``TwoMLPHead``).
``ConvFC`` has, as more recent heads do, convolutions and one fully connected layer: fewer weights to train, more to
compute.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detect.models.backbones.normalization import NewNorm, conv_norm

CHUNK_SIZE = 256  # regions; ResNet's last stage reads 60 MB of weights for each chunk, so not many fewer


class TwoLayerFC(nn.Module):
    """A tail of two fully connected layers, for networks that have none of their own."""

    def __init__(self, channels: int, pool_size: int, fc_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * pool_size * pool_size, fc_dim),
            nn.ReLU(),
            nn.Linear(fc_dim, fc_dim),
            nn.ReLU(),
        )
        self.out_features = fc_dim

    def forward(self, regional: Tensor) -> Tensor:
        """Compute vectors of region maps: (S, C, pool_size, pool_size) -> (S, fc_dim)."""
        vectors: Tensor = self.layers(regional)
        return vectors


class ConvFC(nn.Module):
    """A tail of 3x3 convolutions with as many channels as the map, then one fully connected layer.

    Wu and He 2018, section 4.2, have four convolutions.
    """

    def __init__(self, channels: int, pool_size: int, num_convs: int, fc_dim: int, norm: NewNorm | None) -> None:
        super().__init__()
        blocks = [conv_norm(channels, channels, 3, norm) for _ in range(num_convs)]
        for block in blocks:
            block.append(nn.ReLU())
        linear = nn.Linear(channels * pool_size * pool_size, fc_dim)
        self.layers = nn.Sequential(*blocks, nn.Flatten(), linear, nn.ReLU())
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        self.out_features = fc_dim

    def forward(self, regional: Tensor) -> Tensor:
        """Compute vectors of region maps: (S, C, pool_size, pool_size) -> (S, fc_dim)."""
        vectors: Tensor = self.layers(regional)
        return vectors


def run_in_chunks(tail: nn.Module, regional: Tensor) -> Tensor:
    """Compute the tail's vectors (S, F) of region maps (S, C, h, w), without gradients in chunks of CHUNK_SIZE.

    For 8,000 regions (four images of R-CNN) one map of MobileNetV2's last stage has 2 GB; for 256 it has 64 MB.
    """
    if torch.is_grad_enabled() or tail.training or len(regional) <= CHUNK_SIZE:
        vectors: Tensor = tail(regional)
        return vectors
    return torch.cat([tail(chunk) for chunk in torch.split(regional, CHUNK_SIZE)])
