"""Every registered network on the meta device: its maps, its vector, whose weights it takes."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import nn
from torchvision import models

from detect.errors import UserError
from detect.models.backbones import registry
from detect.models.backbones.network import MapShape, SplitNetwork, StagedBody, map_shapes
from tests.models.backbones.expected_networks import TABLE
from tests.models.backbones.test_smallest_networks import SMALLEST

UNPADDED = [
    *registry.NATIVE,
    "alexnet",
    "squeezenet1_0",
    "squeezenet1_1",
]  # whose strides only two sizes of image tell
SHAPE_KEEPING = (nn.BatchNorm2d, nn.ReLU, nn.SiLU, nn.Hardswish, nn.GELU)  # slow on the meta device: left out


@cache
def on_meta(name: str) -> tuple[nn.Module, SplitNetwork]:
    """Layers without memory: what costs seconds for VGG is done at once."""
    with torch.device("meta"):
        network = registry.build_network(name)
    return network.eval(), registry.split_stages(name, network)


def test_the_table_is_complete() -> None:
    assert list(TABLE) == list(registry.NETWORKS)


@torch.no_grad()
def measured(name: str) -> list[MapShape]:
    """Of each stage."""
    _, network = on_meta(name)
    if name in UNPADDED:
        return map_shapes(StagedBody(network.stages, 0, num_outputs=len(network.stages)))
    maps = StagedBody(network.stages, 0, num_outputs=len(network.stages))(torch.empty(1, 3, 256, 256, device="meta"))
    assert all(256 % actual.shape[2] == 0 for actual in maps)
    return [MapShape(actual.shape[1], 256 // actual.shape[2]) for actual in maps]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in SMALLEST else pytest.mark.slow) for name in TABLE]
)
def test_strides_channels_and_vector(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in SHAPE_KEEPING:
        monkeypatch.setattr(kind, "forward", lambda _, features: features)
    strides, channels, length, _ = TABLE[name]
    assert measured(name) == [MapShape(*pair) for pair in zip(channels, strides, strict=True)]
    _, network = on_meta(name)
    below = len(channels) - network.tail_stages
    tail = nn.Sequential(*network.stages[below:], network.tail)
    with torch.no_grad():
        vector = tail(torch.empty(2, channels[below - 1], network.pool_size, network.pool_size, device="meta"))
    assert vector.shape == (2, length)


@pytest.mark.parametrize("name", TABLE)
def test_body_and_tail_equal_the_network_below_its_classifier(name: str) -> None:
    prefix = TABLE[name][3]
    full_network, network = on_meta(name)
    expected = {
        id(value) for key, value in full_network.named_parameters() if prefix is None or not key.startswith(prefix)
    }
    listed = [id(parameter) for part in (*network.stages, network.tail) for parameter in part.parameters()]
    assert set(listed) == expected
    assert len(listed) == len(expected)


@pytest.mark.parametrize("name", registry.TORCHVISION)
def test_torchvision_networks_are_those_with_weights(name: str) -> None:
    published = models.get_model_weights(name).DEFAULT.meta["num_params"]
    assert sum(parameter.numel() for parameter in on_meta(name)[0].parameters()) == published


@pytest.mark.parametrize("name", ["regnet_x_400mf", "regnet_y_400mf"])
def test_regnets_have_the_layers_of_torchvisions(name: str) -> None:
    expected = {key: value.shape for key, value in models.get_model(name).state_dict().items()}
    assert {key: value.shape for key, value in on_meta(name)[0].state_dict().items()} == expected


def test_unknown_network_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match=r'model.backbone.name: .*found resnet-50 \(did you mean "resnet50"\?\)'):
        registry.require_known("resnet-50")
