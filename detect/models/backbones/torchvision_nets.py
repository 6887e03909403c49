"""torchvision's classification networks, cut into stages and tail.

Each function takes an untrained or trained model of torchvision and says where it is cut; names of its layers stay
visible here, so that a reader can check the cut against torchvision's source. Where a network has no layers of its own
between its last map and its classifier, the tail is the last stage and a mean over the region.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

from torch import Tensor, nn
from torchvision import models

from detect.models.backbones.network import Network


def alexnet(model: models.AlexNet) -> Network:
    """Krizhevsky 2014, the one-tower form. Five convolutions, the last three of one stride; the tail is fc6 and fc7."""
    layers = model.features
    stages = (layers[:2], layers[2:5], layers[5:8], layers[8:10], layers[10:12])
    return Network(stages, nn.Sequential(nn.Flatten(), *model.classifier[:-1]), tail_stages=0, bins=6)


def vgg(model: models.VGG) -> Network:
    """Simonyan and Zisserman 2015. Five groups of convolutions, each pooling the one before; the tail is fc6 and fc7.

    The last pooling layer is the RoI pooling (Fast R-CNN, section 2.1).
    """
    layers = list(model.features)
    pools = [place for place, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    starts = [0, *pools]
    stages = tuple(nn.Sequential(*layers[a:b]) for a, b in pairwise(starts))
    return Network(stages, nn.Sequential(nn.Flatten(), *model.classifier[:-1]), tail_stages=0, bins=7)


class ToHalves(nn.Module):
    """From ImageNet's mean and deviation to a mean and deviation of 0.5 in each channel."""

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H, W)."""
        scale = pixels.new_tensor([0.229 / 0.5, 0.224 / 0.5, 0.225 / 0.5])
        shift = pixels.new_tensor([(0.485 - 0.5) / 0.5, (0.456 - 0.5) / 0.5, (0.406 - 0.5) / 0.5])
        return pixels * scale[:, None, None] + shift[:, None, None]


def new_googlenet() -> models.GoogLeNet:
    """Without the training-time classifiers, and with the pixels that torchvision's weights were trained on."""
    return models.googlenet(weights=None, aux_logits=False, transform_input=True, init_weights=True)


def googlenet(model: models.GoogLeNet) -> Network:
    """Szegedy et al. 2015, in torchvision's form: with batch normalisation, and 3x3 where the paper has 5x5."""
    layers = {name: layer for name, layer in model.named_children() if name not in ("avgpool", "dropout", "fc")}
    layers["conv1"] = nn.Sequential(ToHalves(), model.conv1)
    return Network(_by_stride(nn.Sequential(OrderedDict(layers))), _mean(), tail_stages=1, bins=14)


def resnet(model: models.ResNet) -> Network:
    """He et al. 2016. Stem and four stages; the tail is conv5 and the mean (their "C4" detector).

    Also ResNeXt (Xie et al. 2017) and wide ResNet (Zagoruyko and Komodakis 2016), which differ within a block.
    """
    stem = nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool)
    return Network((stem, model.layer1, model.layer2, model.layer3, model.layer4), _mean(), tail_stages=1, bins=14)


def densenet(model: models.DenseNet) -> Network:
    """Huang et al. 2017. A stage is a block and, as far as its pooling, the transition after it."""
    layers: dict[str, nn.Module] = {}
    for name, layer in model.features.named_children():
        if isinstance(layer, nn.Sequential):  # a transition
            layers |= {f"{name}_{part}": child for part, child in layer.named_children()}
        else:
            layers[name] = layer
    layers["relu5"] = nn.ReLU(inplace=True)  # torchvision's is in forward
    return Network(_by_stride(nn.Sequential(OrderedDict(layers))), _mean(), tail_stages=1, bins=14)


def squeezenet(model: models.SqueezeNet) -> Network:
    """Iandola et al. 2016. Stages by stride 2 to 16; torchvision's classifier is the 1x1 convolution after them."""
    return Network(_by_stride(model.features), _mean(), tail_stages=1, bins=14)


def mobilenet_v2(model: models.MobileNetV2) -> Network:
    """Sandler et al. 2018. Stages by stride 2 to 32; the tail is the last one and a mean over the region."""
    return Network(_by_stride(model.features), _mean(), tail_stages=1, bins=7)


def mobilenet_v3(model: models.MobileNetV3) -> Network:
    """Howard et al. 2019. Stages by stride 2 to 32; the tail is the last one, a mean, and one layer after it."""
    tail = nn.Sequential(*_mean(), *model.classifier[:-1])
    return Network(_by_stride(model.features), tail, tail_stages=1, bins=7)


def efficientnet(model: models.EfficientNet) -> Network:
    """Tan and Le 2019, 2021. Stages by stride 2 to 32; the tail is the last one and a mean."""
    return Network(_by_stride(model.features), _mean(), tail_stages=1, bins=7)


def convnext(model: models.ConvNeXt) -> Network:
    """Liu et al. 2022. Four stages of stride 4 to 32; the tail is the last one, a mean and a normalisation."""
    tail = nn.Sequential(nn.AdaptiveAvgPool2d(1), *model.classifier[:-1])
    return Network(_by_stride(model.features), tail, tail_stages=1, bins=14)


def regnet(model: models.RegNet) -> Network:
    """Radosavovic et al. 2020. Stem and four stages of stride 4 to 32; the tail is the last one and a mean."""
    return Network((model.stem, *model.trunk_output), _mean(), tail_stages=1, bins=14)


def _by_stride(layers: nn.Sequential) -> tuple[nn.Module, ...]:
    """Stages that each begin with a layer of stride above 1; what stands before the first such layer is with it."""
    starts = [place for place, layer in enumerate(layers) if _strides(layer)]
    return tuple(layers[a:b] for a, b in pairwise([0, *starts[1:], len(layers)]))


def _strides(layer: nn.Module) -> bool:
    return any(getattr(part, "stride", 1) not in (1, (1, 1)) for part in layer.modules())


def _mean() -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
