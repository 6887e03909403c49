"""ResNets as published: the first 1x1 convolution of a stage has its stride.

He, Zhang, Ren and Sun 2016, "Deep Residual Learning for Image Recognition", table 1, as in their Caffe models and so in
detectron2's "MSRA" weights (its ``STRIDE_IN_1X1``). (torchvision's ``resnet50`` has the stride in the 3x3 convolution.
The tensors of each fit the other, whose features are then wrong.)
"""

from __future__ import annotations

from torch import nn
from torchvision import models
from torchvision.models.resnet import Bottleneck


def resnet50_original() -> models.ResNet:
    """Build ResNet-50: 3, 4, 6 and 3 blocks."""
    return _stride_first(models.resnet50())


def resnet101_original() -> models.ResNet:
    """Build ResNet-101: 3, 4, 23 and 3 blocks."""
    return _stride_first(models.resnet101())


def resnet152_original() -> models.ResNet:
    """Build ResNet-152: 3, 8, 36 and 3 blocks."""
    return _stride_first(models.resnet152())


def _stride_first(model: models.ResNet) -> models.ResNet:
    """Move the stride of each block's 3x3 convolution to the 1x1 before it; names and shapes stay torchvision's."""
    for block in model.modules():
        if isinstance(block, Bottleneck):
            _swap_strides(block.conv1, block.conv2)
    return model


def _swap_strides(first: nn.Conv2d, second: nn.Conv2d) -> None:
    first.stride, second.stride = second.stride, first.stride
