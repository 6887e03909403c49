"""Normalization by name: of a full network, and of new layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Literal

from torch import nn

from detect.models.backbones.convolutions import ConvType, same_padding_conv
from detect.models.backbones.frozen_norm import freeze_norms, keep_activation

NewNorm = Literal["batch", "sync", "group"]
Norm = Literal["frozen"] | NewNorm

NORM_GROUPS = 32


def convert_norms(parts: Iterable[nn.Module], kind: Norm) -> None:
    """Convert every batch normalization inside ``parts`` to another kind.

    frozen: fixed at its statistics (``frozen_norm.freeze_norms``); batch: unchanged; sync: with the statistics of all
    processes; group: replaced by a new group normalization with initial weights.
    """
    for part in parts:
        if kind == "frozen":
            freeze_norms(part)
        elif kind == "sync":
            _replace_norms(part, _to_sync_norm)
        elif kind == "group":
            _replace_norms(part, lambda norm: make_norm("group", norm.num_features))


def make_norm(kind: NewNorm, channels: int) -> nn.Module:
    """Build a normalization of so many channels.

    Group normalization has 32 groups as in Wu and He 2018, or the largest smaller power of two that divides the number
    of channels.
    """
    if kind == "group":
        return nn.GroupNorm(math.gcd(NORM_GROUPS, channels), channels)
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.SyncBatchNorm(channels)


def conv_norm(
    in_channels: int, out_channels: int, kernel: int, norm: NewNorm | None, conv_type: ConvType = "standard"
) -> nn.Sequential:
    """Build a convolution (N, C, H, W) -> (N, W, H, W), with a normalization, or with a bias where ``norm`` is None."""
    layer = same_padding_conv(conv_type, in_channels, out_channels, kernel, bias=norm is None)
    for name, parameter in layer.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
    return nn.Sequential(layer) if norm is None else nn.Sequential(layer, make_norm(norm, out_channels))


def _replace_norms(module: nn.Module, make_replacement: Callable[[nn.BatchNorm2d], nn.Module]) -> None:
    """Replace every batch normalization inside ``module``; an activation inside it stays."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, keep_activation(child, make_replacement(child)))
        else:
            _replace_norms(child, make_replacement)


def _to_sync_norm(norm: nn.BatchNorm2d) -> nn.Module:
    """Return a synchronized batch normalization with the same parameters and buffers."""
    sync_norm = nn.SyncBatchNorm(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    for name, parameter in norm.named_parameters(recurse=False):
        sync_norm.register_parameter(name, parameter)
    for name, buffer in norm.named_buffers(recurse=False):
        sync_norm.register_buffer(name, buffer)
    return sync_norm.train(norm.training)
