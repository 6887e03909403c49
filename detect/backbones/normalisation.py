"""Normalisation by name: of a whole network, and of new layers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from torch import nn

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

    Groups are 32 as Wu and He 2018 have it, or the most below that which divide the channels evenly.
    """
    if kind == "group":
        return nn.GroupNorm(math.gcd(GROUPS, channels), channels)
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.SyncBatchNorm(channels)


def convolution(channels: int, width: int, kernel: int, norm: NewNorm | None) -> nn.Sequential:
    """A convolution that keeps the map's size, with a bias or a normalisation."""
    layer = nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=norm is None)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return nn.Sequential(layer) if norm is None else nn.Sequential(layer, new_norm(norm, width))


def _group_norms(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, new_norm("group", child.num_features))
        else:
            _group_norms(child)
