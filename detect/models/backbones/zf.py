"""ZF net, the "fast" network of Faster R-CNN.

Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks": AlexNet with a finer first layer and
without groups. Sizes as in py-faster-rcnn's ``models/pascal_voc/ZF``, which pads every layer, so that a 224-pixel
crop gives maps of 112, 29, 15, 15, 15 cells (the paper's 110, 26, 13, 13, 13), and which normalizes over 3x3
cells of the same channel, not over channels.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional

from detect.models.backbones.alexnet_family import fc_layers, init_weights


class SpatialResponseNorm(nn.Module):
    """Divides each value by (1 + alpha times the mean of the squares around it in its channel) to the power of beta.

    It is Caffe's ``WITHIN_CHANNEL``: cells beyond the border count as 0.
    """

    def __init__(self, size: int, alpha: float, beta: float) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta

    def forward(self, features: Tensor) -> Tensor:
        """Normalize (N, C, H, W) -> the same shape."""
        squares = functional.avg_pool2d(features.square(), self.size, stride=1, padding=self.size // 2)
        return features * (1 + self.alpha * squares).pow(-self.beta)


def zf(num_classes: int = 1000) -> nn.Sequential:
    """Build ZF net, with normalization before pooling, twice."""
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(3, 96, 7, stride=2, padding=3),
        "relu1": nn.ReLU(inplace=True),
        "norm1": SpatialResponseNorm(3, alpha=5e-5, beta=0.75),
        "pool1": nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
        "conv2": nn.Conv2d(96, 256, 5, stride=2, padding=2),
        "relu2": nn.ReLU(inplace=True),
        "norm2": SpatialResponseNorm(3, alpha=5e-5, beta=0.75),
        "pool2": nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
        "conv3": nn.Conv2d(256, 384, 3, padding=1),
        "relu3": nn.ReLU(inplace=True),
        "conv4": nn.Conv2d(384, 384, 3, padding=1),
        "relu4": nn.ReLU(inplace=True),
        "conv5": nn.Conv2d(384, 256, 3, padding=1),
        "relu5": nn.ReLU(inplace=True),
        **fc_layers(256, 4096, num_classes),
    }
    return init_weights(nn.Sequential(OrderedDict(layers)))
