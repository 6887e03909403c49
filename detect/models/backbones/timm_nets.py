"""timm's convolutional networks, cut into stages and tail.

One rule cuts them all. timm notes in ``feature_info`` after which layer a map is complete, and the layers of the
families in ``timm_names`` stand in the order in which they run, which the tests hold to timm's own forward passes. What
comes after the last such layer is the tail. (Transformers, whose tokens are no map, and HRNet, whose branches run side
by side, are no such rows.)
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, cast

from torch import nn

from detect.models.backbones.network import Network
from detect.models.backbones.timm_names import FAMILIES, timm_family


def new_timm_network(name: str) -> nn.Module:
    """With random weights and timm's names, without its classifier."""
    from timm import create_model

    network: nn.Module = create_model(name, num_classes=0)
    return network


def cut_timm_network(name: str, whole: nn.Module) -> Network:
    """A stage for each entry of ``feature_info``; where the last has a pooling layer alone (VGG), RoI pooling has its
    place, and all other stages are the body's. Else the last stage is the tail's.
    """
    layers = list(_in_order_of_run(whole))
    names = [name for name, _ in layers]
    ends = [_end(entry["module"], names) for entry in cast(list[dict[str, Any]], whole.feature_info)]
    stages = [_row(layers[first:end]) for first, end in pairwise([0, *ends])]
    tail = _row(layers[ends[-1] :])
    bins = FAMILIES[timm_family(name)]
    if not list(stages[-1].parameters()):
        return Network(tuple(stages[:-1]), tail, tail_stages=0, bins=bins)
    return Network(tuple(stages), tail, tail_stages=1, bins=bins)


def _in_order_of_run(whole: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """timm's name of each layer and the layer; of a list or row of layers, each of those."""
    for name, layer in whole.named_children():
        if isinstance(layer, nn.Sequential | nn.ModuleList):
            yield from ((f"{name}.{part}", child) for part, child in layer.named_children())
        else:
            yield name, layer


def _end(module: str, names: list[str]) -> int:
    """How many layers there are up to the last one of ``module``, which is a layer or holds several."""
    return max(place for place, name in enumerate(names, start=1) if f"{name}.".startswith(f"{module}."))


def _row(layers: list[tuple[str, nn.Module]]) -> nn.Module:
    """Layers one after the other, by their names; a single one is itself."""
    if len(layers) == 1:
        return layers[0][1]
    return nn.Sequential(OrderedDict((name.replace(".", "_"), layer) for name, layer in layers))
