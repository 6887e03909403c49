"""From one activation back to the pixels that made it (Zeiler and Fergus 2014, arXiv:1311.2901, section 2.1).

Going down, a max-pool puts each value at the place where its maximum was (the recorded switch; where windows overlap
and share one, values add up), a rectifier keeps what is positive of the signal itself, and a convolution spreads it by
its transposed filters. Contrast normalisation is left out on the way down, as in the paper. LeNet has none of the
paper's rectifiers: its squashing keeps signs and order and is passed by, its subsampling is a transposed filter too.
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

TRANSPOSED = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d, nn.BatchNorm2d, Subsampling)  # linear, once switches are set
SKIPPED = (nn.LocalResponseNorm, SpatialResponseNorm, ScaledTanh, nn.Identity)


@dataclass(frozen=True)
class NamedLayer:
    """A layer of a chain and its name."""

    name: str
    layer: nn.Module


def sequential_layers(network: nn.Module) -> list[NamedLayer]:
    """The layers of the network's body in their order; UserError for a network that is no chain of known layers."""
    layers = dict(network.named_modules())
    return [link for name in stage_names(network) for link in _named_layers(name, layers[name])]


def forward_activations(links: Sequence[NamedLayer], pixels: Tensor, name: str | None) -> list[Tensor]:
    """What enters each layer up to the one called ``name`` (None: the last), and at the end what that one answers.

    UserError for a name that is none of the chain's.
    """
    names = [link.name for link in links]
    if name is not None and name not in names:
        raise UserError(f"--layer: expected one of the chain's layers, found {name}{did_you_mean(name, names)}")
    kept = [pixels]
    with torch.no_grad():
        for link in links[: len(names) if name is None else names.index(name) + 1]:
            kept.append(link.layer(kept[-1].clone()))  # a rectifier may work in place
    return kept


def keep_peak(maps: Tensor, channel: int) -> Tensor:
    """Maps (1, C, h, w) with all but the highest value of one channel set to 0."""
    alone = torch.zeros_like(maps)
    place = int(maps[0, channel].argmax())
    alone[0, channel].view(-1)[place] = maps[0, channel].flatten()[place]
    return alone


def backproject(links: Sequence[NamedLayer], kept: Sequence[Tensor], signal: Tensor) -> Tensor:
    """A signal in the last of the ``kept`` maps -> (1, 3, H, W), in the pixels' units; all values may be any sign."""
    for link, entered in zip(reversed(links[: len(kept) - 1]), reversed(kept[:-1]), strict=True):
        if isinstance(link.layer, nn.ReLU):
            signal = signal.clamp(min=0)
        elif isinstance(link.layer, TRANSPOSED):
            signal = _transposed(link.layer, entered, signal)
    return signal


def _transposed(layer: nn.Module, entered: Tensor, signal: Tensor) -> Tensor:
    """The transposed layer is its gradient, and a max-pool's gradient goes where its maximum was."""
    with torch.enable_grad():
        held = entered.detach().requires_grad_()
        answer = layer(held)
        (found,) = torch.autograd.grad(answer, held, signal.to(answer.dtype))  # with bf16 layers differ in theirs
    return found


def _named_layers(name: str, part: nn.Module) -> Iterator[NamedLayer]:
    if isinstance(part, nn.Sequential):
        for own, child in part.named_children():
            yield from _named_layers(f"{name}.{own}", child)
    elif isinstance(part, (*TRANSPOSED, *SKIPPED, nn.ReLU)):
        yield NamedLayer(name, part)
    else:
        raise UserError(
            "--method deconvnet: expected a network whose layers stand in one line (LeNet, AlexNet, ZF, VGG), found "
            f"{type(part).__name__} at {name}; --method guided works with any"
        )
