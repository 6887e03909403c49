"""Tails that are built new, in place of the network's own layers; running a tail, or a part of it.

A tail turns region maps into the vectors that the classifier reads. Letters: S regions, C channels, F the length of a
vector. ``TwoLayerFC`` has two fully connected layers, as Fast R-CNN with VGG16 (torchvision's ``TwoMLPHead``).
``ConvFC`` has, as more recent heads do, convolutions and one fully connected layer: fewer weights to train, more to
compute.

SVMs may read features from below the end of a tail (R-CNN, table 2: pool5, fc6 and fc7). They are named by layer:
``map`` is the flattened region map, ``fc1`` what the first fully connected layer and its activation return, and so on.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detect.models.backbones.normalization import NewNorm, conv_norm
from detect.models.heads.low_rank import LowRankLinear

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

    For 8,000 regions (four images of R-CNN) one map of MobileNetV2's last stage has 2 GB; for 256 it has 64 MB. A graph
    for another runtime has the layers once, and no branch on the number of regions.
    """
    if torch.compiler.is_exporting() or torch.is_grad_enabled() or tail.training or len(regional) <= CHUNK_SIZE:
        vectors: Tensor = tail(regional)
        return vectors
    return torch.cat([tail(chunk) for chunk in torch.split(regional, CHUNK_SIZE)])


def split_tail(tail: nn.Module, features: str) -> tuple[nn.Sequential, nn.Sequential]:
    """Return the layers of a tail up to the named ``features`` and those above, with the weights of the tail itself.

    The lower part of ``map`` is empty, and that of the last fully connected layer is the whole tail. Raises ValueError,
    which lists the names, for a name that the tail does not have.
    """
    layers = _layers_in_order(tail)
    starts = [index for index, layer in enumerate(layers) if isinstance(layer, nn.Linear | LowRankLinear)]
    if not starts:
        raise ValueError(f"expected null for a tail without fully connected layers, found {features}")
    ends = {"map": 0} | {f"fc{i}": end for i, end in enumerate((*starts[1:], len(layers)), start=1)}
    if features not in ends:
        raise ValueError(
            f"expected one of {', '.join(ends)} for {len(starts)} fully connected layers, found {features}"
        )
    return nn.Sequential(*layers[: ends[features]]), nn.Sequential(*layers[ends[features] :])


def classifier_features(tail: nn.Module, regional: Tensor, features: str | None) -> Tensor:
    """Compute what the classifier reads, (S, F), of region maps (S, C, h, w): named ``features``, None for the tail's
    vectors.
    """
    if features is None:
        return run_in_chunks(tail, regional)
    return run_in_chunks(split_tail(tail, features)[0], regional).flatten(1)


def _layers_in_order(tail: nn.Module) -> list[nn.Module]:
    """Return the layers that a tail runs one after the other."""
    if isinstance(tail, TwoLayerFC | ConvFC):
        return _layers_in_order(tail.layers)
    if isinstance(tail, nn.Sequential) and type(tail).forward is nn.Sequential.forward:
        return [layer for part in tail for layer in _layers_in_order(part)]
    return [tail]
