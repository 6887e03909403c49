"""torchvision's classification networks, split into stages and tail.

Each function takes one of torchvision's models, trained or not, and returns its stages and tail. The code names
torchvision's layers, so that a reader can compare it with torchvision's source. Where a network has no layers between
its last map and its classifier, the tail is the last stage and a mean over the region.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

from torch import Tensor, nn
from torchvision import models

from detect.models.backbones.network import SplitNetwork


def split_alexnet(model: models.AlexNet) -> SplitNetwork:
    """Split AlexNet, Krizhevsky's one-tower form of 2014: five stages, the last three of one stride; tail fc6, fc7."""
    layers = model.features
    stages = (layers[:2], layers[2:5], layers[5:8], layers[8:10], layers[10:12])
    return SplitNetwork(stages, nn.Sequential(nn.Flatten(), *model.classifier[:-1]), tail_stages=0, pool_size=6)


def split_vgg(model: models.VGG) -> SplitNetwork:
    """Split VGG (Simonyan and Zisserman 2015): five groups of convolutions, each after a pooling; tail fc6, fc7.

    RoI pooling replaces the last pooling layer (Fast R-CNN, section 2.1).
    """
    layers = list(model.features)
    pools = [index for index, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    starts = [0, *pools]
    stages = tuple(nn.Sequential(*layers[a:b]) for a, b in pairwise(starts))
    return SplitNetwork(stages, nn.Sequential(nn.Flatten(), *model.classifier[:-1]), tail_stages=0, pool_size=7)


class RescaleInput(nn.Module):
    """Converts pixels normalized by ImageNet's mean and std to a mean and std of 0.5 in each channel."""

    def forward(self, pixels: Tensor) -> Tensor:
        """Rescale (N, 3, H, W) -> the same shape."""
        scale = pixels.new_tensor([0.229 / 0.5, 0.224 / 0.5, 0.225 / 0.5])
        shift = pixels.new_tensor([(0.485 - 0.5) / 0.5, (0.456 - 0.5) / 0.5, (0.406 - 0.5) / 0.5])
        return pixels * scale[:, None, None] + shift[:, None, None]


def build_googlenet() -> models.GoogLeNet:
    """Build GoogLeNet without auxiliary classifiers, for the pixels that torchvision's weights were trained on."""
    return models.googlenet(weights=None, aux_logits=False, transform_input=True, init_weights=True)


def split_googlenet(model: models.GoogLeNet) -> SplitNetwork:
    """Split GoogLeNet (Szegedy et al. 2015), in torchvision's form: batch normalization, and 3x3 in place of 5x5."""
    layers = {name: layer for name, layer in model.named_children() if name not in ("avgpool", "dropout", "fc")}
    layers["conv1"] = nn.Sequential(RescaleInput(), model.conv1)
    return SplitNetwork(
        split_at_strides(nn.Sequential(OrderedDict(layers))), global_average_pool(), tail_stages=1, pool_size=14
    )


def split_resnet(model: models.ResNet) -> SplitNetwork:
    """Split ResNet (He et al. 2016): stem and four stages; the tail is conv5 and the mean (their "C4" detector).

    ResNeXt (Xie et al. 2017) and wide ResNet (Zagoruyko and Komodakis 2016) differ within a block only.
    """
    stem = nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool)
    return SplitNetwork(
        (stem, model.layer1, model.layer2, model.layer3, model.layer4),
        global_average_pool(),
        tail_stages=1,
        pool_size=14,
    )


def split_densenet(model: models.DenseNet) -> SplitNetwork:
    """Split DenseNet (Huang et al. 2017): a stage is a block and the transition after it, up to its pooling."""
    layers: dict[str, nn.Module] = {}
    for name, layer in model.features.named_children():
        if isinstance(layer, nn.Sequential):  # a transition
            layers |= {f"{name}_{part}": child for part, child in layer.named_children()}
        else:
            layers[name] = layer
    layers["relu5"] = nn.ReLU(inplace=True)  # torchvision's is in forward
    return SplitNetwork(
        split_at_strides(nn.Sequential(OrderedDict(layers))), global_average_pool(), tail_stages=1, pool_size=14
    )


def split_squeezenet(model: models.SqueezeNet) -> SplitNetwork:
    """Split SqueezeNet (Iandola et al. 2016): stages of stride 2 to 16; the classifier is a 1x1 convolution."""
    return SplitNetwork(split_at_strides(model.features), global_average_pool(), tail_stages=1, pool_size=14)


def split_mobilenet_v2(model: models.MobileNetV2) -> SplitNetwork:
    """Split MobileNetV2 (Sandler et al. 2018): stages of stride 2 to 32; the tail is the last one and a mean."""
    return SplitNetwork(split_at_strides(model.features), global_average_pool(), tail_stages=1, pool_size=7)


def split_mobilenet_v3(model: models.MobileNetV3) -> SplitNetwork:
    """Split MobileNetV3 (Howard et al. 2019): stages of stride 2 to 32; the tail is the last one, a mean, one layer."""
    tail = nn.Sequential(*global_average_pool(), *model.classifier[:-1])
    return SplitNetwork(split_at_strides(model.features), tail, tail_stages=1, pool_size=7)


def split_efficientnet(model: models.EfficientNet) -> SplitNetwork:
    """Split EfficientNet (Tan and Le 2019, 2021): stages of stride 2 to 32; the tail is the last one and a mean."""
    return SplitNetwork(split_at_strides(model.features), global_average_pool(), tail_stages=1, pool_size=7)


def split_convnext(model: models.ConvNeXt) -> SplitNetwork:
    """Split ConvNeXt (Liu et al. 2022): stages of stride 4 to 32; the tail is the last one, a mean, a normalization."""
    tail = nn.Sequential(nn.AdaptiveAvgPool2d(1), *model.classifier[:-1])
    return SplitNetwork(split_at_strides(model.features), tail, tail_stages=1, pool_size=14)


def split_regnet(model: models.RegNet) -> SplitNetwork:
    """Split RegNet (Radosavovic et al. 2020): stem, stages of stride 4 to 32; the tail is the last one and a mean."""
    return SplitNetwork((model.stem, *model.trunk_output), global_average_pool(), tail_stages=1, pool_size=14)


def split_at_strides(layers: nn.Sequential) -> tuple[nn.Module, ...]:
    """Split layers into stages that each start with a stride above 1; layers before it join the first stage."""
    starts = [index for index, layer in enumerate(layers) if _has_stride(layer)]
    return tuple(layers[a:b] for a, b in pairwise([0, *starts[1:], len(layers)]))


def _has_stride(layer: nn.Module) -> bool:
    return any(getattr(part, "stride", 1) not in (1, (1, 1)) for part in layer.modules())


def global_average_pool() -> nn.Sequential:
    """Return the mean of each map, (N, C, H, W) -> (N, C)."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
