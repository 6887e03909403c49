"""A tail made anew from convolutions: what today's heads have in place of a fully connected layer.

Four 3x3 convolutions and one fully connected layer (Wu and He 2018, section 4.2): less to learn than two fully
connected layers, more to compute.
"""

from __future__ import annotations

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
