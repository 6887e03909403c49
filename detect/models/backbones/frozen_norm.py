"""Batch normalization with fixed statistics, and fusing it into convolutions.

``freeze_norms`` is for fine-tuning a pretrained network: statistics, scale and shift stay, while the convolution's
weights can train. ``optimize_for_inference`` is for a trained network: scale and shift become part of the weights.
"""

from __future__ import annotations

from collections.abc import Collection

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
        """Convolve, scale and shift: (N, C, H, W) -> (N, C', H', W')."""
        conv = self.conv
        weight = conv.weight * self.scale[:, None, None, None]
        return functional.conv2d(features, weight, self.shift, conv.stride, conv.padding, conv.dilation, conv.groups)


def freeze_norms(module: nn.Module) -> None:
    """Replace every batch normalization in ``module`` by a fixed one with the same weights and statistics.

    One that follows a convolution among its parent's children becomes a FrozenConv2d with it. (In all of torchvision's
    networks, and in those of timm's that ``timm_nets`` supports, children are listed in the order in which they run.)
    """
    previous: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d):
            # a subclass of nn.Conv2d (timm's Conv2dSame) may compute something else
            if previous is not None and type(previous[1]) is nn.Conv2d and previous[1].bias is None:
                setattr(module, previous[0], FrozenConv2d(previous[1], child))
                setattr(module, name, keep_activation(child, nn.Identity()))
            else:
                setattr(module, name, keep_activation(child, _frozen(child)))
        else:
            freeze_norms(child)
        previous = (name, child)


def optimize_for_inference(
    module: nn.Module, dtype: torch.dtype = torch.float32, unchanged: Collection[nn.Module] = ()
) -> None:
    """Make a module faster that is in evaluation and stays there; the names of its tensors change.

    Each normalization is fused into the convolution before it, as a scale of its weights and as its bias. The weights
    of convolutions and linear layers become ``dtype``, but for those of ``unchanged`` layers; otherwise autocast would
    convert them for every image (42 million numbers of ResNet-50 with a pyramid). Outputs are bit-identical where
    normalizations are frozen, because those are a part of their convolution already, and otherwise equal to rounding.
    """
    _fuse_norms(module)
    for layer in module.modules():
        has_weights = isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
        if has_weights and layer not in unchanged and layer.weight.dtype == torch.float32:
            layer.to(dtype)


def keep_activation(norm: nn.BatchNorm2d, replacement: nn.Module) -> nn.Module:
    """Return ``replacement``, followed by the activation inside ``norm``, where it has one (timm's BatchNormAct2d)."""
    activations = [layer for layer in norm.children() if not isinstance(layer, nn.Identity)]
    return nn.Sequential(replacement, *activations) if activations else replacement


def _scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return the scale (C,) and shift (C,) that a batch normalization of C channels applies in evaluation."""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a normalization without running statistics cannot be frozen")
    scale = norm.weight.detach() * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias.detach() - norm.running_mean * scale


def _frozen(norm: nn.BatchNorm2d) -> nn.Module:
    """Return torchvision's frozen batch normalization with the same weights and statistics."""
    frozen = FrozenBatchNorm2d(norm.num_features, norm.eps)
    frozen.load_state_dict(
        {name: tensor for name, tensor in norm.state_dict().items() if name != "num_batches_tracked"}
    )
    module: nn.Module = frozen
    return module


def _fuse_norms(module: nn.Module) -> None:
    """Fuse every normalization in ``module`` into the convolution before it, in place."""
    previous: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, FrozenConv2d):
            setattr(module, name, _merge_scale(child))
        elif previous is not None and type(previous[1]) is nn.Conv2d and isinstance(child, nn.BatchNorm2d):
            setattr(module, previous[0], fuse_conv_bn_eval(previous[1], child))
            setattr(module, name, keep_activation(child, nn.Identity()))
        else:
            _fuse_norms(child)
        previous = (name, child)


def _merge_scale(frozen: FrozenConv2d) -> nn.Conv2d:
    """Return the convolution with the scale in its weights and the shift as its bias."""
    conv = frozen.conv
    conv.weight = nn.Parameter(conv.weight * frozen.scale[:, None, None, None], requires_grad=False)
    conv.bias = nn.Parameter(frozen.shift, requires_grad=False)
    return conv
