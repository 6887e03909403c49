"""timm's convolutional networks, split into stages and tail.

All are split in the same way. timm records in ``feature_info`` after which layer each map is complete, and the layers
of the families in ``timm_names`` are listed in the order in which they run, which the tests verify against timm's own
forward passes. The layers after the last map are the tail. (Transformers, whose tokens are not maps, and HRNet, whose
branches run in parallel, cannot be split so.)
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, cast

from torch import nn

from detect.models.backbones.network import SplitNetwork
from detect.models.backbones.timm_names import POOL_SIZE_BY_FAMILY, timm_family


def create_timm_network(name: str) -> nn.Module:
    """Build the network with random weights, timm's names of layers, and no classifier."""
    from timm import create_model

    network: nn.Module = create_model(name, num_classes=0)
    return network


def split_timm_network(name: str, network: nn.Module) -> SplitNetwork:
    """Split into a stage for each entry of ``feature_info``, and the tail.

    Where the last stage is a pooling layer alone (VGG), RoI pooling replaces it and all other stages belong to the
    body. Otherwise the last stage belongs to the tail.
    """
    layers = list(_layers_in_run_order(network))
    names = [name for name, _ in layers]
    ends = [_end(entry["module"], names) for entry in cast(list[dict[str, Any]], network.feature_info)]
    stages = [_sequential(layers[first:end]) for first, end in pairwise([0, *ends])]
    tail = _sequential(layers[ends[-1] :])
    bins = POOL_SIZE_BY_FAMILY[timm_family(name)]
    if not list(stages[-1].parameters()):
        return SplitNetwork(tuple(stages[:-1]), tail, tail_stages=0, pool_size=bins)
    return SplitNetwork(tuple(stages), tail, tail_stages=1, pool_size=bins)


def _layers_in_run_order(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield timm's name of each layer and the layer; the members of an ``nn.Sequential`` or list one by one."""
    for name, layer in network.named_children():
        if isinstance(layer, nn.Sequential | nn.ModuleList):
            yield from ((f"{name}.{part}", child) for part, child in layer.named_children())
        else:
            yield name, layer


def _end(module: str, names: list[str]) -> int:
    """Return the number of layers up to and with the last one of ``module``, which is one layer or contains several."""
    return max(index for index, name in enumerate(names, start=1) if f"{name}.".startswith(f"{module}."))


def _sequential(layers: list[tuple[str, nn.Module]]) -> nn.Module:
    """Return the named layers as an ``nn.Sequential``; a single layer is returned as it is."""
    if len(layers) == 1:
        return layers[0][1]
    return nn.Sequential(OrderedDict((name.replace(".", "_"), layer) for name, layer in layers))
