"""A network that has learned: what does not depend on the picture is computed once."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from detect.models.backbones.norm import FrozenConv2d, with_layers_of


def settle(module: nn.Module, dtype: torch.dtype = torch.float32) -> None:
    """Make a module quicker that is in evaluation and stays there; its tensors get other names.

    A normalisation joins the convolution before it: a scale of its weights, a shift as its bias. Weights of
    convolutions and linear layers become ``dtype``, in which autocast would have them anew for every photo (of
    ResNet-50 with a pyramid 42 million numbers). Answers are the same to the bit where normalisations are frozen ones,
    which are a part of their convolution already, and else to rounding.
    """
    _join_norms(module)
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) and layer.weight.dtype == torch.float32:
            layer.to(dtype)


def _join_norms(module: nn.Module) -> None:
    before: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, FrozenConv2d):
            setattr(module, name, _plain(child))
        elif before is not None and type(before[1]) is nn.Conv2d and isinstance(child, nn.BatchNorm2d):
            setattr(module, before[0], fuse_conv_bn_eval(before[1], child))
            setattr(module, name, with_layers_of(child, nn.Identity()))
        else:
            _join_norms(child)
        before = (name, child)


def _plain(frozen: FrozenConv2d) -> nn.Conv2d:
    """The convolution with the scale in its weights and the shift as its bias."""
    conv = frozen.conv
    conv.weight = nn.Parameter(conv.weight * frozen.scale[:, None, None, None], requires_grad=False)
    conv.bias = nn.Parameter(frozen.shift, requires_grad=False)
    return conv
