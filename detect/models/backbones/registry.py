"""The networks by name: how each is built, and how it is split into stages and tail."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn
from torchvision import models

from detect.errors import UserError, did_you_mean
from detect.models.backbones import lenet, torchvision_nets
from detect.models.backbones.alexnet_family import split_alexnet_family
from detect.models.backbones.alexnet_original import alexnet_original, caffenet, caffenet_padded
from detect.models.backbones.efficientnet_lite import SCALES, build_efficientnet_lite, split_efficientnet_lite
from detect.models.backbones.network import SplitNetwork
from detect.models.backbones.regnets import REGNETS
from detect.models.backbones.resnet_original import resnet50_original, resnet101_original, resnet152_original
from detect.models.backbones.small import SmallResNet
from detect.models.backbones.timm_names import TIMM_PREFIX, require_timm_name
from detect.models.backbones.timm_nets import create_timm_network, split_timm_network
from detect.models.backbones.vgg_cnn_m import vgg_cnn_m_1024
from detect.models.backbones.zf import zf

Entry = tuple[Callable[[], nn.Module], Callable[[Any], SplitNetwork]]  # builds it with random weights, splits it

NATIVE: dict[str, Entry] = {
    "small": (SmallResNet, SmallResNet.split),
    "lenet": (lenet.lenet, lenet.split_lenet),
    "alexnet_original": (alexnet_original, split_alexnet_family),
    "caffenet": (caffenet, split_alexnet_family),
    "caffenet_padded": (caffenet_padded, split_alexnet_family),
    "zf": (zf, split_alexnet_family),
    "vgg_cnn_m_1024": (vgg_cnn_m_1024, split_alexnet_family),
    "resnet50_original": (resnet50_original, torchvision_nets.split_resnet),
    "resnet101_original": (resnet101_original, torchvision_nets.split_resnet),
    "resnet152_original": (resnet152_original, torchvision_nets.split_resnet),
    **{name: (partial(build_efficientnet_lite, name), split_efficientnet_lite) for name in SCALES},
}
# torchvision's names, so that its weights are found by them
TORCHVISION: dict[str, Entry] = {
    "alexnet": (models.alexnet, torchvision_nets.split_alexnet),
    "vgg11": (models.vgg11, torchvision_nets.split_vgg),
    "vgg11_bn": (models.vgg11_bn, torchvision_nets.split_vgg),
    "vgg13": (models.vgg13, torchvision_nets.split_vgg),
    "vgg13_bn": (models.vgg13_bn, torchvision_nets.split_vgg),
    "vgg16": (models.vgg16, torchvision_nets.split_vgg),
    "vgg16_bn": (models.vgg16_bn, torchvision_nets.split_vgg),
    "vgg19": (models.vgg19, torchvision_nets.split_vgg),
    "vgg19_bn": (models.vgg19_bn, torchvision_nets.split_vgg),
    "googlenet": (torchvision_nets.build_googlenet, torchvision_nets.split_googlenet),
    "resnet18": (models.resnet18, torchvision_nets.split_resnet),
    "resnet34": (models.resnet34, torchvision_nets.split_resnet),
    "resnet50": (models.resnet50, torchvision_nets.split_resnet),
    "resnet101": (models.resnet101, torchvision_nets.split_resnet),
    "resnet152": (models.resnet152, torchvision_nets.split_resnet),
    "resnext50_32x4d": (models.resnext50_32x4d, torchvision_nets.split_resnet),
    "resnext101_32x8d": (models.resnext101_32x8d, torchvision_nets.split_resnet),
    "resnext101_64x4d": (models.resnext101_64x4d, torchvision_nets.split_resnet),
    "wide_resnet50_2": (models.wide_resnet50_2, torchvision_nets.split_resnet),
    "wide_resnet101_2": (models.wide_resnet101_2, torchvision_nets.split_resnet),
    "densenet121": (models.densenet121, torchvision_nets.split_densenet),
    "densenet161": (models.densenet161, torchvision_nets.split_densenet),
    "densenet169": (models.densenet169, torchvision_nets.split_densenet),
    "densenet201": (models.densenet201, torchvision_nets.split_densenet),
    "squeezenet1_0": (models.squeezenet1_0, torchvision_nets.split_squeezenet),
    "squeezenet1_1": (models.squeezenet1_1, torchvision_nets.split_squeezenet),
    "mobilenet_v2": (models.mobilenet_v2, torchvision_nets.split_mobilenet_v2),
    "mobilenet_v3_small": (models.mobilenet_v3_small, torchvision_nets.split_mobilenet_v3),
    "mobilenet_v3_large": (models.mobilenet_v3_large, torchvision_nets.split_mobilenet_v3),
    "efficientnet_b0": (models.efficientnet_b0, torchvision_nets.split_efficientnet),
    "efficientnet_b1": (models.efficientnet_b1, torchvision_nets.split_efficientnet),
    "efficientnet_b2": (models.efficientnet_b2, torchvision_nets.split_efficientnet),
    "efficientnet_b3": (models.efficientnet_b3, torchvision_nets.split_efficientnet),
    "efficientnet_b4": (models.efficientnet_b4, torchvision_nets.split_efficientnet),
    "efficientnet_b5": (models.efficientnet_b5, torchvision_nets.split_efficientnet),
    "efficientnet_b6": (models.efficientnet_b6, torchvision_nets.split_efficientnet),
    "efficientnet_b7": (models.efficientnet_b7, torchvision_nets.split_efficientnet),
    "efficientnet_v2_s": (models.efficientnet_v2_s, torchvision_nets.split_efficientnet),
    "efficientnet_v2_m": (models.efficientnet_v2_m, torchvision_nets.split_efficientnet),
    "efficientnet_v2_l": (models.efficientnet_v2_l, torchvision_nets.split_efficientnet),
    "convnext_tiny": (models.convnext_tiny, torchvision_nets.split_convnext),
    "convnext_small": (models.convnext_small, torchvision_nets.split_convnext),
    "convnext_base": (models.convnext_base, torchvision_nets.split_convnext),
    "convnext_large": (models.convnext_large, torchvision_nets.split_convnext),
    **{name: (builder, torchvision_nets.split_regnet) for name, builder in REGNETS.items()},
}
TORCHVISION_FAMILIES = (
    "AlexNets, VGGs, GoogLeNet, (wide) ResNets, ResNeXts, DenseNets, SqueezeNets, MobileNets, EfficientNets, ConvNeXts "
    "and RegNets"
)
NETWORKS = NATIVE | TORCHVISION


def require_known(name: str) -> None:
    """Raise UserError unless ``name`` is one of NETWORKS, or "timm:" and a network of timm's that can be split."""
    if name.startswith(TIMM_PREFIX):
        require_timm_name(name.removeprefix(TIMM_PREFIX))
    elif name not in NETWORKS:
        raise UserError(
            f"model.backbone.name: expected {', '.join(NATIVE)}, torchvision's name of one of its "
            f"{TORCHVISION_FAMILIES}, or {TIMM_PREFIX}NAME, found {name}{did_you_mean(name, NETWORKS)}"
        )


def build_network(name: str) -> nn.Module:
    """Build the full network with random weights and its published names of layers; timm's without classifier."""
    return create_timm_network(name.removeprefix(TIMM_PREFIX)) if name.startswith(TIMM_PREFIX) else NETWORKS[name][0]()


def split_stages(name: str, network: nn.Module) -> SplitNetwork:
    """Split a network of ``build_network`` into stages and tail, which share its parameters."""
    if name.startswith(TIMM_PREFIX):
        return split_timm_network(name.removeprefix(TIMM_PREFIX), network)
    return NETWORKS[name][1](network)
