"""AlexNet as published, and CaffeNet.

Krizhevsky, Sutskever and Hinton 2012, "ImageNet Classification with Deep Convolutional Neural Networks": two towers,
written as convolutions in two groups, and local response normalization. (torchvision's ``alexnet`` is the later form
without either.) Sizes as in Caffe's ``bvlc_alexnet`` and ``bvlc_reference_caffenet``; a 227-pixel crop gives maps of
55, 27, 13, 13, 13 cells. Caffe's normalization has 1 + a fifth of 1e-4 times the sum of five squares where the paper
has 2 + 1e-4 times the sum; this code follows Caffe, so that Caffe's weights can be loaded.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from detect.models.backbones.alexnet_family import fc_layers, init_weights


def alexnet_original(num_classes: int = 1000) -> nn.Sequential:
    """Build AlexNet in the paper's order: normalization, then pooling."""
    return _network(pool_first=False, padded=False, num_classes=num_classes)


def caffenet(num_classes: int = 1000) -> nn.Sequential:
    """Build CaffeNet, with pooling before normalization: R-CNN's network for crops of 227 pixels, Fast R-CNN's "S"."""
    return _network(pool_first=True, padded=False, num_classes=num_classes)


def caffenet_padded(num_classes: int = 1000) -> nn.Sequential:
    """Build CaffeNet with the padding that Fast R-CNN added for whole images: 5 in conv1, 1 in pool1 and pool2.

    The weights are the same; cell (0, 0) of conv5 is centered at half a pixel instead of at 17.5.
    """
    return _network(pool_first=True, padded=True, num_classes=num_classes)


def _network(pool_first: bool, padded: bool, num_classes: int) -> nn.Sequential:
    padding = 1 if padded else 0
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(3, 96, 11, stride=4, padding=5 * padding),
        "relu1": nn.ReLU(inplace=True),
        **_pool_and_norm(1, padding, pool_first),
        "conv2": nn.Conv2d(96, 256, 5, padding=2, groups=2),
        "relu2": nn.ReLU(inplace=True),
        **_pool_and_norm(2, padding, pool_first),
        "conv3": nn.Conv2d(256, 384, 3, padding=1),
        "relu3": nn.ReLU(inplace=True),
        "conv4": nn.Conv2d(384, 384, 3, padding=1, groups=2),
        "relu4": nn.ReLU(inplace=True),
        "conv5": nn.Conv2d(384, 256, 3, padding=1, groups=2),
        "relu5": nn.ReLU(inplace=True),
        **fc_layers(256, 4096, num_classes),
    }
    return init_weights(nn.Sequential(OrderedDict(layers)))


def _pool_and_norm(index: int, padding: int, pool_first: bool) -> dict[str, nn.Module]:
    pool = {f"pool{index}": nn.MaxPool2d(3, stride=2, padding=padding, ceil_mode=True)}
    norm = {f"norm{index}": nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1)}
    return {**pool, **norm} if pool_first else {**norm, **pool}
