"""Networks by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torchvision import models

from detect.errors import UserError, nearest
from detect.models.backbones import alexnet_family as five_convolutions
from detect.models.backbones import lenet
from detect.models.backbones import torchvision_nets as cuts
from detect.models.backbones.alexnet_original import alexnet_original, caffenet, caffenet_padded
from detect.models.backbones.network import Network
from detect.models.backbones.regnets import REGNETS
from detect.models.backbones.resnet_original import resnet50_original, resnet101_original, resnet152_original
from detect.models.backbones.small import Small
from detect.models.backbones.timm_names import PREFIX, check_timm_name
from detect.models.backbones.timm_nets import cut_timm_network, new_timm_network
from detect.models.backbones.vgg_cnn_m import vgg_cnn_m_1024
from detect.models.backbones.zf import zf

Entry = tuple[Callable[[], nn.Module], Callable[[Any], Network]]  # a builder with random weights, our cut

OURS: dict[str, Entry] = {
    "small": (Small, Small.cut),
    "lenet": (lenet.lenet, lenet.cut),
    "alexnet_original": (alexnet_original, five_convolutions.cut),
    "caffenet": (caffenet, five_convolutions.cut),
    "caffenet_padded": (caffenet_padded, five_convolutions.cut),
    "zf": (zf, five_convolutions.cut),
    "vgg_cnn_m_1024": (vgg_cnn_m_1024, five_convolutions.cut),
    "resnet50_original": (resnet50_original, cuts.resnet),
    "resnet101_original": (resnet101_original, cuts.resnet),
    "resnet152_original": (resnet152_original, cuts.resnet),
}
# named as in torchvision, whose weights go by the same names
TORCHVISION: dict[str, Entry] = {
    "alexnet": (models.alexnet, cuts.alexnet),
    "vgg11": (models.vgg11, cuts.vgg),
    "vgg11_bn": (models.vgg11_bn, cuts.vgg),
    "vgg13": (models.vgg13, cuts.vgg),
    "vgg13_bn": (models.vgg13_bn, cuts.vgg),
    "vgg16": (models.vgg16, cuts.vgg),
    "vgg16_bn": (models.vgg16_bn, cuts.vgg),
    "vgg19": (models.vgg19, cuts.vgg),
    "vgg19_bn": (models.vgg19_bn, cuts.vgg),
    "googlenet": (cuts.new_googlenet, cuts.googlenet),
    "resnet18": (models.resnet18, cuts.resnet),
    "resnet34": (models.resnet34, cuts.resnet),
    "resnet50": (models.resnet50, cuts.resnet),
    "resnet101": (models.resnet101, cuts.resnet),
    "resnet152": (models.resnet152, cuts.resnet),
    "resnext50_32x4d": (models.resnext50_32x4d, cuts.resnet),
    "resnext101_32x8d": (models.resnext101_32x8d, cuts.resnet),
    "resnext101_64x4d": (models.resnext101_64x4d, cuts.resnet),
    "wide_resnet50_2": (models.wide_resnet50_2, cuts.resnet),
    "wide_resnet101_2": (models.wide_resnet101_2, cuts.resnet),
    "densenet121": (models.densenet121, cuts.densenet),
    "densenet161": (models.densenet161, cuts.densenet),
    "densenet169": (models.densenet169, cuts.densenet),
    "densenet201": (models.densenet201, cuts.densenet),
    "squeezenet1_0": (models.squeezenet1_0, cuts.squeezenet),
    "squeezenet1_1": (models.squeezenet1_1, cuts.squeezenet),
    "mobilenet_v2": (models.mobilenet_v2, cuts.mobilenet_v2),
    "mobilenet_v3_small": (models.mobilenet_v3_small, cuts.mobilenet_v3),
    "mobilenet_v3_large": (models.mobilenet_v3_large, cuts.mobilenet_v3),
    "efficientnet_b0": (models.efficientnet_b0, cuts.efficientnet),
    "efficientnet_b1": (models.efficientnet_b1, cuts.efficientnet),
    "efficientnet_b2": (models.efficientnet_b2, cuts.efficientnet),
    "efficientnet_b3": (models.efficientnet_b3, cuts.efficientnet),
    "efficientnet_b4": (models.efficientnet_b4, cuts.efficientnet),
    "efficientnet_b5": (models.efficientnet_b5, cuts.efficientnet),
    "efficientnet_b6": (models.efficientnet_b6, cuts.efficientnet),
    "efficientnet_b7": (models.efficientnet_b7, cuts.efficientnet),
    "efficientnet_v2_s": (models.efficientnet_v2_s, cuts.efficientnet),
    "efficientnet_v2_m": (models.efficientnet_v2_m, cuts.efficientnet),
    "efficientnet_v2_l": (models.efficientnet_v2_l, cuts.efficientnet),
    "convnext_tiny": (models.convnext_tiny, cuts.convnext),
    "convnext_small": (models.convnext_small, cuts.convnext),
    "convnext_base": (models.convnext_base, cuts.convnext),
    "convnext_large": (models.convnext_large, cuts.convnext),
    **{name: (builder, cuts.regnet) for name, builder in REGNETS.items()},
}
FAMILIES = (
    "AlexNets, VGGs, GoogLeNet, (wide) ResNets, ResNeXts, DenseNets, SqueezeNets, MobileNets, EfficientNets, ConvNeXts "
    "and RegNets"
)
NETWORKS = OURS | TORCHVISION
NOT_TORCHVISION = frozenset(OURS)


def check_name(name: str) -> None:
    """Raise UserError unless ``name`` is a network here, or "timm:" and one of timm's that can be cut."""
    if name.startswith(PREFIX):
        check_timm_name(name.removeprefix(PREFIX))
    elif name not in NETWORKS:
        raise UserError(
            f"model.backbone.name: expected {', '.join(OURS)}, torchvision's name of one of its {FAMILIES}, or "
            f"{PREFIX}NAME, found {name}{nearest(name, NETWORKS)}"
        )


def whole_network(name: str) -> nn.Module:
    """The network with random weights, whole, its layers named as its maker named them; timm's without classifier."""
    return new_timm_network(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else NETWORKS[name][0]()


def cut(name: str, whole: nn.Module) -> Network:
    """The stages and the tail of a ``whole_network``; they share its parameters."""
    if name.startswith(PREFIX):
        return cut_timm_network(name.removeprefix(PREFIX), whole)
    return NETWORKS[name][1](whole)
