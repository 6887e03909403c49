"""VGG_CNN_M_1024, "M" in Fast R-CNN.

Chatfield, Simonyan, Vedaldi and Zisserman 2014, "Return of the Devil in the Details" (arXiv:1405.3531): CNN-M, the
medium one of three, with 1024 outputs of fc7. Sizes as in Fast R-CNN's ``models/VGG_CNN_M_1024``; a 224-pixel crop
gives maps of 109, 26, 13, 13, 13 cells.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from detect.models.backbones.alexnet_family import fc_layers, init_weights


def vgg_cnn_m_1024(num_classes: int = 1000) -> nn.Sequential:
    """Build VGG_CNN_M_1024, with normalization before pooling, twice."""
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(3, 96, 7, stride=2),
        "relu1": nn.ReLU(inplace=True),
        "norm1": nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2),
        "pool1": nn.MaxPool2d(3, stride=2, ceil_mode=True),
        "conv2": nn.Conv2d(96, 256, 5, stride=2, padding=1),
        "relu2": nn.ReLU(inplace=True),
        "norm2": nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2),
        "pool2": nn.MaxPool2d(3, stride=2, ceil_mode=True),
        "conv3": nn.Conv2d(256, 512, 3, padding=1),
        "relu3": nn.ReLU(inplace=True),
        "conv4": nn.Conv2d(512, 512, 3, padding=1),
        "relu4": nn.ReLU(inplace=True),
        "conv5": nn.Conv2d(512, 512, 3, padding=1),
        "relu5": nn.ReLU(inplace=True),
        **fc_layers(512, 1024, num_classes),
    }
    return init_weights(nn.Sequential(OrderedDict(layers)))
