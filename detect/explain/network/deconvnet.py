"""Projects one activation back to the pixels (Zeiler and Fergus 2014, arXiv:1311.2901, section 2.1).

On the way back a max-pool puts each value at the position of its maximum (the recorded switch; where windows overlap
and share a maximum, values add up), a rectifier keeps what is positive of the signal itself, and a convolution is
replaced by its transpose. Contrast normalization is skipped, as in the paper. LeNet has none of the paper's rectifiers:
its scaled tanh keeps signs and order and is skipped, its subsampling is transposed too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from detect.errors import UserError, did_you_mean
from detect.models.backbones.lenet import ScaledTanh, Subsampling
from detect.models.backbones.zf import SpatialResponseNorm
from detect.models.layer_hooks import stage_names
from detect.models.slots import FeatureNetwork

TRANSPOSED = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d, nn.BatchNorm2d, Subsampling)  # linear for fixed switches
SKIPPED = (nn.LocalResponseNorm, SpatialResponseNorm, ScaledTanh, nn.Identity)


@dataclass(frozen=True)
class NamedLayer:
    """A layer of a sequential network and its name."""

    name: str
    layer: nn.Module


def sequential_layers(network: FeatureNetwork) -> list[NamedLayer]:
    """Return the layers of the network's body in their order.

    Raises UserError for a network whose layers do not form one sequence, or with a layer of an unknown class.
    """
    layers = dict(network.module.named_modules())
    return [layer for name in stage_names(network) for layer in _named_layers(name, layers[name])]


def forward_activations(layers: Sequence[NamedLayer], pixels: Tensor, name: str | None) -> list[Tensor]:
    """Return the input of each layer up to the layer ``name`` (None: the last one), and then the output of that layer.

    pixels: (1, 3, H, W). Raises UserError for a name that no layer has.
    """
    names = [layer.name for layer in layers]
    if name is not None and name not in names:
        raise UserError(f"--layer: expected a layer of the body's sequence, found {name}{did_you_mean(name, names)}")
    activations = [pixels]
    with torch.no_grad():
        for layer in layers[: len(names) if name is None else names.index(name) + 1]:
            activations.append(layer.layer(activations[-1].clone()))  # a rectifier may work in place
    return activations


def keep_peak(maps: Tensor, channel: int) -> Tensor:
    """Return maps (1, C, h, w) with all values set to 0 but the highest value of one channel."""
    peak = torch.zeros_like(maps)
    index = int(maps[0, channel].argmax())
    peak[0, channel].view(-1)[index] = maps[0, channel].flatten()[index]
    return peak


def backproject(layers: Sequence[NamedLayer], activations: Sequence[Tensor], signal: Tensor) -> Tensor:
    """Return a signal in the last of the ``activations`` projected back to the pixels: (1, 3, H, W), of any sign.

    The result has the unit of the network's input.
    """
    for layer, layer_input in zip(reversed(layers[: len(activations) - 1]), reversed(activations[:-1]), strict=True):
        if isinstance(layer.layer, nn.ReLU):
            signal = signal.clamp(min=0)
        elif isinstance(layer.layer, TRANSPOSED):
            signal = _transposed(layer.layer, layer_input, signal)
    return signal


def _transposed(layer: nn.Module, layer_input: Tensor, signal: Tensor) -> Tensor:
    """Return the gradient of a layer, which is its transpose; that of a max-pool goes to its maxima."""
    with torch.enable_grad():
        features = layer_input.detach().requires_grad_()
        output = layer(features)
        (gradient,) = torch.autograd.grad(output, features, signal.to(output.dtype))  # with bf16 layers differ in dtype
    return gradient


def _named_layers(name: str, part: nn.Module) -> Iterator[NamedLayer]:
    if isinstance(part, nn.Sequential):
        for child_name, child in part.named_children():
            yield from _named_layers(f"{name}.{child_name}", child)
    elif isinstance(part, (*TRANSPOSED, *SKIPPED, nn.ReLU)):
        yield NamedLayer(name, part)
    else:
        raise UserError(
            "--method deconvnet: expected a network whose layers form one sequence (LeNet, AlexNet, ZF, VGG), found "
            f"{type(part).__name__} at {name}; --method guided works with any network with ReLU"
        )
