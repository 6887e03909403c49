"""torchvision's classification networks, cut into stages and tail.

Each function takes an untrained or trained model of torchvision and says where it is cut; names of its layers stay
visible here, so that a reader can check the cut against torchvision's source.
"""

from __future__ import annotations

from itertools import pairwise

from torch import nn
from torchvision import models

from detect.backbones.network import Network


def mobilenet_v2(model: models.MobileNetV2) -> Network:
    """Sandler et al. 2018. Stages by stride 2 to 32; the tail is the last one and a mean over the region."""
    layers = model.features
    stages = (layers[:2], layers[2:4], layers[4:7], layers[7:14], layers[14:])
    return Network(stages, _mean(), tail_stages=1, bins=7)


def resnet(model: models.ResNet) -> Network:
    """He et al. 2016. Stem and four stages; the tail is conv5 and the mean (their "C4" detector)."""
    stem = nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool)
    return Network((stem, model.layer1, model.layer2, model.layer3, model.layer4), _mean(), tail_stages=1, bins=14)


def vgg(model: models.VGG) -> Network:
    """Simonyan and Zisserman 2015. Five groups of convolutions, each pooling the one before; the tail is fc6 and fc7.

    The last pooling layer is the RoI pooling (Fast R-CNN, section 2.1).
    """
    layers = list(model.features)
    pools = [place for place, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    starts = [0, *pools]
    stages = tuple(nn.Sequential(*layers[a:b]) for a, b in pairwise(starts))
    return Network(stages, nn.Sequential(nn.Flatten(), *model.classifier[:-1]), tail_stages=0, bins=7)


def alexnet(model: models.AlexNet) -> Network:
    """Krizhevsky 2014, the one-tower form. Five convolutions, the last three of one stride; the tail is fc6 and fc7."""
    layers = model.features
    stages = (layers[:2], layers[2:5], layers[5:8], layers[8:10], layers[10:12])
    return Network(stages, nn.Sequential(nn.Flatten(), *model.classifier[:-1]), tail_stages=0, bins=6)


def _mean() -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
