"""Normalisation by name: of a whole network, and of new layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Literal

from torch import nn

from detect.models.backbones.convolutions import ConvolutionKind, same_size
from detect.models.backbones.frozen_norm import freeze_norms, with_layers_of

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
            _replace_norms(part, _synchronised)
        elif kind == "group":
            _replace_norms(part, lambda norm: new_norm("group", norm.num_features))


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


def _replace_norms(module: nn.Module, new: Callable[[nn.BatchNorm2d], nn.Module]) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, with_layers_of(child, new(child)))
        else:
            _replace_norms(child, new)


def _synchronised(norm: nn.BatchNorm2d) -> nn.Module:
    """The same tensors under another rule."""
    made = nn.SyncBatchNorm(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    for name, parameter in norm.named_parameters(recurse=False):
        made.register_parameter(name, parameter)
    for name, buffer in norm.named_buffers(recurse=False):
        made.register_buffer(name, buffer)
    return made.train(norm.training)
