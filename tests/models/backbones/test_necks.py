"""Necks, dilated stages and other normalization: the maps of a backbone."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from detect.config.builders.backbone import build_backbone
from detect.config.files import parse_config
from detect.models.backbones import registry
from detect.models.backbones.frozen_norm import FrozenConv2d
from detect.models.backbones.necks import FPN
from detect.models.backbones.network import SplitNetwork, StagedBody, dilate, map_shapes
from detect.models.backbones.normalization import Norm, convert_norms, make_norm

ODD = [(11, 13), (6, 7), (3, 4), (2, 2)]
EVEN = [(16, 24), (8, 12), (4, 6), (2, 3)]


@pytest.mark.parametrize("norm", [None, "batch"])
@pytest.mark.parametrize("sizes", [EVEN, ODD, EVEN[:1], [(4, 5), (4, 5)]])
def test_fpn_equals_torchvision(sizes: list[tuple[int, int]], norm: Any) -> None:
    torch.manual_seed(0)
    channels = [3, 5, 7, 9][: len(sizes)]
    ours = FPN(channels, 8, norm).double()
    theirs = FeaturePyramidNetwork(channels, 8, LastLevelMaxPool(), None if norm is None else nn.BatchNorm2d).double()
    values = [value for part in (ours.lateral, ours.smooth) for value in part.state_dict().values()]
    assert len(values) == len(theirs.state_dict())
    theirs.load_state_dict(dict(zip(theirs.state_dict(), values, strict=True)))
    maps = [torch.randn(2, depth, *size).double() for depth, size in zip(channels, sizes, strict=True)]
    expected = theirs({str(index): each for index, each in enumerate(maps)})
    for actual, target in zip(ours(maps), expected.values(), strict=True):
        torch.testing.assert_close(actual, target)


def on_meta(name: str) -> SplitNetwork:
    with torch.device("meta"):
        return registry.split_stages(name, registry.build_network(name))


@pytest.mark.parametrize(
    "name",
    ["resnet18", "resnet50", "resnext50_32x4d", "mobilenet_v2", "small", "regnet_x_400mf", "efficientnet_lite0"],
)
def test_dilated_stage_has_the_stride_and_size_of_the_stage_before(name: str) -> None:
    network = on_meta(name)
    parameters = [parameter.shape for parameter in network.stages[-1].parameters()]
    dilate(network.stages[-1])
    body = StagedBody(network.stages, 0, num_outputs=2)
    fine, coarse = map_shapes(body)
    assert fine.stride == coarse.stride
    maps = body(torch.empty(1, 3, 135, 97, device="meta"))
    assert maps[0].shape[2:] == maps[1].shape[2:]
    assert [parameter.shape for parameter in network.stages[-1].parameters()] == parameters


def test_dilated_stage_reads_every_other_cell() -> None:
    """Dilated by 2 throughout, the four interleaved maps do not mix, and each goes through the stage as it was."""
    torch.manual_seed(1)
    stage = registry.split_stages("small", registry.build_network("small").double()).stages[-1].eval()
    undilated = copy.deepcopy(stage)
    for layer in undilated.modules():
        if isinstance(layer, nn.Conv2d):
            layer.stride = (1, 1)
    dilate(stage)
    features = torch.randn(1, 64, 8, 12).double()
    actual = stage(features)
    for y, x in itertools.product((0, 1), repeat=2):
        torch.testing.assert_close(actual[:, :, y::2, x::2], undilated(features[:, :, y::2, x::2]))


@pytest.mark.parametrize("name", ["vgg11", "alexnet", "googlenet", "convnext_tiny", "zf"])
def test_dilate_refuses_a_stage_without_strided_odd_convolutions(name: str) -> None:
    with pytest.raises(ValueError, match="halves its map by convolutions"):
        dilate(on_meta(name).stages[-1])


KINDS: dict[Norm, set[type]] = {
    "frozen": {FrozenConv2d},
    "batch": {nn.BatchNorm2d},
    "sync": {nn.SyncBatchNorm},
    "group": {nn.GroupNorm},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["small", "resnet18", "mobilenet_v2"])
def test_convert_norms_converts_every_norm(name: str, kind: Norm) -> None:
    torch.manual_seed(2)
    network = registry.split_stages(name, registry.build_network(name))
    before = sum(isinstance(layer, nn.BatchNorm2d) for stage in network.stages for layer in stage.modules())
    convert_norms(network.stages, kind)
    norms = (nn.BatchNorm2d, nn.SyncBatchNorm, nn.GroupNorm, FrozenBatchNorm2d, FrozenConv2d)
    actual = [type(layer) for stage in network.stages for layer in stage.modules() if isinstance(layer, norms)]
    assert set(actual) == KINDS[kind]
    assert len(actual) == before > 0
    (features,) = StagedBody(network.stages, 0, num_outputs=1).train()(torch.randn(2, 3, 64, 64))
    assert features.isfinite().all()


@pytest.mark.parametrize(("channels", "groups"), [(256, 32), (48, 16), (24, 8), (7, 1)])
def test_groups_divide_the_channels(channels: int, groups: int) -> None:
    norm = make_norm("group", channels)
    assert isinstance(norm, nn.GroupNorm)
    assert norm.num_groups == groups


@pytest.mark.parametrize(
    ("backbone", "strides", "region_strides", "channels"),
    [
        ({}, (16,), (16,), 256),
        ({"output": "dc5"}, (16,), (16,), 512),
        ({"output": "merged"}, (16,), (16,), 128),
        ({"output": "fpn"}, (4, 8, 16, 32, 64), (4, 8, 16, 32), 256),
        ({"output": "fpn", "fpn_levels": 2, "neck_channels": 32}, (16, 32, 64), (16, 32), 32),
        ({"output": "fpn", "fpn_levels": 2, "split_last_stage": 1}, (32, 32, 64), (32, 32), 256),
        ({"output": "fpn", "fpn_levels": 3, "norm": "frozen", "frozen_stages": 2}, (8, 16, 32, 64), (8, 16, 32), 256),
    ],
)
def test_built_backbone_describes_its_maps(
    backbone: dict[str, Any], strides: tuple[int, ...], region_strides: tuple[int, ...], channels: int
) -> None:
    head = {} if not backbone else {"type": "fc"}
    model = {"backbone": {"name": "resnet18", "norm": "batch", **backbone}, "head": head}
    trunk = build_backbone(parse_config({"model": model}, "test").model, on_meta("resnet18"))
    assert (trunk.strides, trunk.region_strides, trunk.channels) == (strides, region_strides, channels)
    maps = trunk.module.to("meta")(torch.empty(1, 3, 256, 320, device="meta"))
    assert [tuple(each.shape) for each in maps] == [(1, channels, 256 // step, 320 // step) for step in strides]
