"""A network that has learned: what does not depend on the picture is computed once."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.ops import FrozenBatchNorm2d


class FrozenConv2d(nn.Module):
    """A convolution without bias, then a fixed scale and shift of each channel."""

    scale: Tensor
    shift: Tensor

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.conv = conv
        scale, shift = _scale_and_shift(norm)
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        conv = self.conv
        weight = conv.weight * self.scale[:, None, None, None]
        return functional.conv2d(features, weight, self.shift, conv.stride, conv.padding, conv.dilation, conv.groups)


def freeze_norms(module: nn.Module) -> None:
    """Replace every batch normalisation in ``module`` by a fixed one with the same weights and statistics.

    One that follows a convolution among its parent's children joins it. (In all of torchvision's networks, and in
    those of timm's that ``timm_nets`` takes, children stand in the order in which they run.)
    """
    before: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d):
            # a subclass of nn.Conv2d (timm's Conv2dSame) computes something else
            if before is not None and type(before[1]) is nn.Conv2d and before[1].bias is None:
                setattr(module, before[0], FrozenConv2d(before[1], child))
                setattr(module, name, with_layers_of(child, nn.Identity()))
            else:
                setattr(module, name, with_layers_of(child, _frozen(child)))
        else:
            freeze_norms(child)
        before = (name, child)


def with_layers_of(norm: nn.BatchNorm2d, new: nn.Module) -> nn.Module:
    """``new``, which replaces ``norm``, and what that ran on its own result: timm's BatchNormAct2d an activation."""
    inside = [layer for layer in norm.children() if not isinstance(layer, nn.Identity)]
    return nn.Sequential(new, *inside) if inside else new


def _scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a normalisation without running statistics cannot be frozen")
    scale = norm.weight.detach() * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias.detach() - norm.running_mean * scale


def _frozen(norm: nn.BatchNorm2d) -> nn.Module:
    frozen = FrozenBatchNorm2d(norm.num_features, norm.eps)
    frozen.load_state_dict({name: value for name, value in norm.state_dict().items() if name != "num_batches_tracked"})
    module: nn.Module = frozen
    return module


def settle(module: nn.Module, dtype: torch.dtype = torch.float32) -> None:
    """Make a module quicker that is in evaluation and stays there; its tensors get other names.

    A normalisation joins the convolution before it: a scale of its weights, a shift as its bias. Weights of
    convolutions and linear layers become ``dtype``, in which autocast would have them anew for every image (of
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
