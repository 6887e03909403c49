"""A classification network, split into the parts that a detector needs: a body of stages and a tail.

Shapes and lengths are computed on the meta device, without data.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from detect.models.backbones.same_padding import SamePadding

ModuleT = TypeVar("ModuleT", bound=nn.Module)
# layers that keep the shape, and that the meta device has no fast kernel for
SHAPE_KEEPING = (nn.ReLU6, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.SiLU, nn.GELU, nn.BatchNorm2d)


@dataclass(frozen=True)
class SplitNetwork:
    """A network split into stages, from the pixels up, and a tail, its own layers for a pooled region.

    Body and tail together are the full network below its classifier. stages: each takes the output of the one before.
    tail_stages: how many of the last stages belong to the tail (ResNet C4: 1; VGG: 0). tail: the layers after the last
    stage, up to the vector that the classifier reads. pool_size: the side of the region map that fits this tail.
    """

    stages: tuple[nn.Module, ...]
    tail: nn.Module
    tail_stages: int
    pool_size: int


class StagedBody(nn.Module):
    """The first stages of a network; frozen ones are not trained and record no gradients."""

    def __init__(self, stages: Sequence[nn.Module], frozen_stages: int, num_outputs: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.frozen_stages = frozen_stages
        self.num_outputs = num_outputs
        for stage in stages[:frozen_stages]:
            stage.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> StagedBody:
        """Set the mode as every module does, but keep frozen stages in evaluation, so that their statistics stay."""
        super().train(mode)
        for stage in self.stages[: self.frozen_stages]:
            stage.eval()
        return self

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Run the stages: (N, 3, H, W) -> the maps of the last ``num_outputs`` stages, finest first."""
        maps = []
        features = pixels.contiguous(memory_format=torch.channels_last)
        for stage in self.stages:
            features = stage(features)
            maps.append(features)
        return tuple(maps[-self.num_outputs :])


class NoBackbone(nn.Module):
    """A backbone without shared maps, for R-CNN, which computes each region from the pixels."""

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:  # noqa: ARG002 - a backbone's interface
        """Return no maps for pixels (N, 3, H, W)."""
        return ()


@dataclass(frozen=True)
class MapShape:
    """The number of channels of a map, and its stride in pixels."""

    channels: int
    stride: int


def map_shapes(body: nn.Module) -> list[MapShape]:
    """Return channels and stride of each map of a body, measured without data on images of two sizes.

    There are two because a network without padding (AlexNet) loses cells at the border: 256 pixels give 15 cells and
    512 give 31, so the stride is 256 / (31 - 15) = 16.
    """
    meta = _for_shapes(body)
    with torch.no_grad():
        small, large = (meta(torch.empty(1, 3, side, side, device="meta")) for side in (256, 512))
    return [
        MapShape(int(a.shape[1]), round(256 / (int(b.shape[2]) - int(a.shape[2]))))
        for a, b in zip(small, large, strict=True)
    ]


def output_size(body: nn.Module, image_size: int) -> int:
    """Return the side, in cells, of a body's last map for an image of ``image_size`` x ``image_size`` pixels.

    It is 0 where the image is too small.
    """
    meta = _for_shapes(body)
    try:
        with torch.no_grad():
            return int(meta(torch.empty(1, 3, image_size, image_size, device="meta"))[-1].shape[2])
    except RuntimeError:  # a layer's kernel is larger than its input
        return 0


def tail_dim(tail: nn.Module, channels: int, pool_size: int) -> int:
    """Return the length of the vector that a tail computes from a (C, pool_size, pool_size) region map."""
    with torch.no_grad():
        return int(_for_shapes(tail)(torch.empty(1, channels, pool_size, pool_size, device="meta")).shape[1])


def _for_shapes(module: ModuleT) -> ModuleT:
    """Return a copy of the module on the meta device, in evaluation and without layers that keep the shape.

    Without a kernel of its own on that device, each of them runs through Python: of the 0.6 s in which a MobileNetV2 is
    loaded its ReLU6 were 0.4, of the 0.28 s for the shapes of a ResNet-50 its normalizations were 0.24.
    """
    meta = to_meta(module).eval()
    for parent in list(meta.modules()):
        for name, child in parent.named_children():
            if type(child) in SHAPE_KEEPING:
                setattr(parent, name, nn.Identity())
    return meta


def to_meta(module: ModuleT) -> ModuleT:
    """Return a copy of the module with every tensor on the meta device, without copying data."""
    memo: dict[int, object] = {}
    for tensor in [*module.parameters(), *module.buffers()]:
        empty = torch.empty_like(tensor, device="meta")
        memo[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
    return copy.deepcopy(module, memo)


def dilate(stage: nn.Module) -> None:
    """Give every convolution of ``stage`` stride 1 and twice its dilation, as detectron2's DC5 does.

    (torchvision's dilated ResNets for segmentation keep the dilation of the first 3x3 convolution.) Raises ValueError
    unless the stage halves its map by convolutions with odd kernels, and by nothing else.
    """
    layers = [layer for layer in stage.modules() if not list(layer.children())]
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d | SamePadding)]
    pools = [layer for layer in layers if layer not in convolutions and getattr(layer, "stride", 1) not in (1, (1, 1))]
    strided = [layer for layer in convolutions if layer.stride != (1, 1)]
    even = [layer for layer in convolutions if any(side % 2 == 0 for side in layer.kernel_size)]
    if pools or even or not strided:
        raise ValueError("expected a stage that halves its map by convolutions with odd kernels")
    for layer in convolutions:
        layer.stride = (1, 1)
        layer.dilation = tuple(2 * step for step in layer.dilation)
        layer.padding = tuple(2 * int(side) for side in layer.padding)
