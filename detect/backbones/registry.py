"""Networks by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torchvision import models

from detect.backbones import torchvision_nets as cuts
from detect.backbones.network import Network
from detect.backbones.small import Small
from detect.errors import UserError, nearest

# name -> (a builder of the whole network with random weights, our cut); torchvision's weights go by the same name
NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[Any], Network]]] = {
    "alexnet": (models.alexnet, cuts.alexnet),
    "mobilenet_v2": (models.mobilenet_v2, cuts.mobilenet_v2),
    "resnet18": (models.resnet18, cuts.resnet),
    "resnet34": (models.resnet34, cuts.resnet),
    "resnet50": (models.resnet50, cuts.resnet),
    "resnet101": (models.resnet101, cuts.resnet),
    "small": (Small, Small.cut),
    "vgg16": (models.vgg16, cuts.vgg),
}
NOT_TORCHVISION = frozenset({"small"})


def check_name(name: str) -> None:
    """Raise UserError unless ``name`` is a network here."""
    if name not in NETWORKS:
        raise UserError(
            f"model.backbone.name: expected one of {', '.join(NETWORKS)}, found {name}{nearest(name, NETWORKS)}"
        )


def whole_network(name: str) -> nn.Module:
    """The network with random weights, whole, its layers named as its maker named them."""
    return NETWORKS[name][0]()


def cut(name: str, whole: nn.Module) -> Network:
    """The stages and the tail of a ``whole_network``; they share its parameters."""
    return NETWORKS[name][1](whole)
