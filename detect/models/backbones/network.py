"""A classification network, cut into the pieces a detector needs."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Network:
    """Stages from the pixels up, and the network's own layers for a pooled region.

    Body and tail together are the whole network below its classifier. stages: each runs on the one before;
    tail_stages: how many of the last stages belong to the tail (ResNet C4: 1; VGG: 0); tail: what follows them, up to
    the vector that the classifier read; bins: the side of the region map that this tail was made for.
    """

    stages: tuple[nn.Module, ...]
    tail: nn.Module
    tail_stages: int
    bins: int


class Body(nn.Module):
    """The first stages of a network; frozen ones are not trained and keep no graph."""

    def __init__(self, stages: Sequence[nn.Module], frozen_stages: int, outputs: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.frozen_stages = frozen_stages
        self.outputs = outputs
        for stage in stages[:frozen_stages]:
            stage.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Body:
        """As in every module, but the normalisation of frozen stages keeps its statistics."""
        super().train(mode)
        for stage in self.stages[: self.frozen_stages]:
            stage.eval()
        return self

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) -> the maps of the last ``outputs`` stages, finest first."""
        maps = []
        features = pixels.contiguous(memory_format=torch.channels_last)
        for stage in self.stages:
            features = stage(features)
            maps.append(features)
        return tuple(maps[-self.outputs :])


@dataclass(frozen=True)
class MapShape:
    """Of one map: its channels, and how many pixels a cell stands for."""

    channels: int
    stride: int


def map_shapes(body: nn.Module) -> list[MapShape]:
    """Channels and stride of each map of a body, measured without data on two sizes of picture.

    Two, because a network without padding (AlexNet) loses cells at the border: 256 pixels give 15 cells, 512 give 31.
    """
    meta = copy_without_data(body).eval()
    with torch.no_grad():
        small, large = (meta(torch.empty(1, 3, side, side, device="meta")) for side in (256, 512))
    return [
        MapShape(int(a.shape[1]), round(256 / (int(b.shape[2]) - int(a.shape[2]))))
        for a, b in zip(small, large, strict=True)
    ]


def map_side(body: nn.Module, side: int) -> int:
    """Cells along a side of a body's last map of a picture of ``side`` x ``side`` pixels; 0 where it is too small."""
    meta = copy_without_data(body).eval()
    try:
        with torch.no_grad():
            return int(meta(torch.empty(1, 3, side, side, device="meta"))[-1].shape[2])
    except RuntimeError:  # a layer's window is larger than what it is to look at
        return 0


def vector_length(tail: nn.Module, channels: int, bins: int) -> int:
    """Length of the vector that a tail makes of a (C, bins, bins) region map."""
    with torch.no_grad():
        return int(copy_without_data(tail).eval()(torch.empty(1, channels, bins, bins, device="meta")).shape[1])


def copy_without_data(module: nn.Module) -> nn.Module:
    """The same layers with every tensor on the meta device."""
    memo: dict[int, object] = {}
    for tensor in [*module.parameters(), *module.buffers()]:
        empty = torch.empty_like(tensor, device="meta")
        memo[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
    return copy.deepcopy(module, memo)


def dilate(stage: nn.Module) -> None:
    """Make every convolution of ``stage`` step by 1 and look twice as far apart, as detectron2's DC5 does.

    (torchvision's dilated ResNets, made for segmentation, leave the first 3x3 convolution as near as it was.)
    Raises ValueError for a stage that does not halve its map by convolutions which keep its size otherwise.
    """
    layers = [layer for layer in stage.modules() if not list(layer.children())]
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    pools = [layer for layer in layers if layer not in convolutions and getattr(layer, "stride", 1) not in (1, (1, 1))]
    strided = [layer for layer in convolutions if layer.stride != (1, 1)]
    even = [layer for layer in convolutions if any(side % 2 == 0 for side in layer.kernel_size)]
    if pools or even or not strided:
        raise ValueError("expected a stage that halves its map by convolutions with odd kernels")
    for layer in convolutions:
        layer.stride = (1, 1)
        layer.dilation = tuple(2 * step for step in layer.dilation)
        layer.padding = tuple(2 * int(side) for side in layer.padding)


class NothingShared(nn.Module):
    """No maps: each region is computed from the pixels."""

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:  # noqa: ARG002
        """(N, 3, H, W) -> no maps."""
        return ()
