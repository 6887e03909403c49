"""AlexNet as it was published, and CaffeNet.

Krizhevsky, Sutskever and Hinton 2012, "ImageNet Classification with Deep Convolutional Neural Networks": two towers,
written as convolutions in two groups, and local response normalisation. (torchvision's ``alexnet`` is the later form
with neither.) Sizes as in Caffe's ``bvlc_alexnet`` and ``bvlc_reference_caffenet``; a 227-pixel crop gives maps of 55,
27, 13, 13, 13 cells. Caffe's normalisation has 1 + a fifth of 1e-4 times the sum of five squares where the paper has
2 + 1e-4 times the sum; we follow Caffe, whose weights these are made to take.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from detect.models.backbones.alexnet_family import fully_connected, initialise


def alexnet_original(classes: int = 1000) -> nn.Sequential:
    """The paper's order: normalised, then pooled."""
    return _network(pool_first=False, padded=False, classes=classes)


def caffenet(classes: int = 1000) -> nn.Sequential:
    """Pooled, then normalised: what R-CNN ran on crops of 227 pixels, and "S" in Fast R-CNN."""
    return _network(pool_first=True, padded=False, classes=classes)


def caffenet_padded(classes: int = 1000) -> nn.Sequential:
    """CaffeNet with the borders that Fast R-CNN added for whole images: conv1 by 5, pool1 and pool2 by 1.

    The same weights; cell (0, 0) of conv5 is centred at half a pixel instead of at 17.5.
    """
    return _network(pool_first=True, padded=True, classes=classes)


def _network(pool_first: bool, padded: bool, classes: int) -> nn.Sequential:
    border = 1 if padded else 0
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(3, 96, 11, stride=4, padding=5 * border),
        "relu1": nn.ReLU(inplace=True),
        **_pool_and_norm(1, border, pool_first),
        "conv2": nn.Conv2d(96, 256, 5, padding=2, groups=2),
        "relu2": nn.ReLU(inplace=True),
        **_pool_and_norm(2, border, pool_first),
        "conv3": nn.Conv2d(256, 384, 3, padding=1),
        "relu3": nn.ReLU(inplace=True),
        "conv4": nn.Conv2d(384, 384, 3, padding=1, groups=2),
        "relu4": nn.ReLU(inplace=True),
        "conv5": nn.Conv2d(384, 256, 3, padding=1, groups=2),
        "relu5": nn.ReLU(inplace=True),
        **fully_connected(256, 4096, classes),
    }
    return initialise(nn.Sequential(OrderedDict(layers)))


def _pool_and_norm(number: int, border: int, pool_first: bool) -> dict[str, nn.Module]:
    pool = {f"pool{number}": nn.MaxPool2d(3, stride=2, padding=border, ceil_mode=True)}
    norm = {f"norm{number}": nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1)}
    return {**pool, **norm} if pool_first else {**norm, **pool}
