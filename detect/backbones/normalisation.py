"""Normalisation by name: of a whole network, and of new layers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from torch import nn

from detect.backbones.convolutions import ConvolutionKind, same_size
from detect.backbones.norm import freeze_norms

NewNorm = Literal["batch", "sync", "group"]
Norm = Literal["frozen"] | NewNorm

GROUPS = 32


def change_norms(parts: Iterable[nn.Module], kind: Norm) -> None:
    """Every batch normalisation inside ``parts`` as the kind says.

    frozen: fixed at its statistics (``norm.freeze_norms``); batch: as it is; sync: with the statistics of all
    processes; group: group normalisation in its place, which starts anew.
    """
    for part in parts:
        if kind == "frozen":
            freeze_norms(part)
        elif kind == "sync":
            nn.SyncBatchNorm.convert_sync_batchnorm(part)  # type: ignore[no-untyped-call]
        elif kind == "group":
            _group_norms(part)


def new_norm(kind: NewNorm, channels: int) -> nn.Module:
    """A normalisation of so many channels.

    Groups are 32 as Wu and He 2018 have it, or the largest smaller power of two that divides the channels.
    """
    if kind == "group":
        return nn.GroupNorm(math.gcd(GROUPS, channels), channels)
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.SyncBatchNorm(channels)


def convolution(
    channels: int, width: int, kernel: int, norm: NewNorm | None, kind: ConvolutionKind = "standard"
) -> nn.Sequential:
    """A convolution that keeps the map's size, with a bias or a normalisation."""
    layer = same_size(kind, channels, width, kernel, bias=norm is None)
    for name, parameter in layer.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
    return nn.Sequential(layer) if norm is None else nn.Sequential(layer, new_norm(norm, width))


def _group_norms(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, new_norm("group", child.num_features))
        else:
            _group_norms(child)
