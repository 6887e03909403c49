"""Kinds of convolutions: their weights are counted, and what a cell sees is measured by gradients."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from detect.config.builders.detector import build_detector
from detect.config.files import merge_overrides, parse_config
from detect.models.backbones.convolutions import (
    ConvType,
    TransposedUpsampling,
    Upsampling,
    make_upsampling,
    same_padding_conv,
)
from detect.types import Images, Targets
from tests.conftest import TINY

C, W, K = 64, 96, 3
COUNTS: dict[ConvType, int] = {
    "standard": K * K * C * W,
    "dilated": K * K * C * W,
    "separable": K * K * C + C * W,
    "grouped": K * K * C * W // 32,
}
SEEN = {"standard": [-1, 0, 1], "dilated": [-2, 0, 2], "separable": [-1, 0, 1], "grouped": [-1, 0, 1]}  # cells


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", COUNTS)
def test_weight_count_equals_the_formula(kind: ConvType, bias: bool) -> None:
    layer = same_padding_conv(kind, C, W, K, bias)
    assert sum(parameter.numel() for parameter in layer.parameters()) == COUNTS[kind] + bias * W


@pytest.mark.parametrize(("channels", "width", "groups"), [(64, 96, 32), (48, 16, 16), (24, 48, 8), (7, 14, 1)])
def test_groups_divide_input_and_output_channels(channels: int, width: int, groups: int) -> None:
    layer = same_padding_conv("grouped", channels, width, 3)
    assert isinstance(layer, nn.Conv2d)
    assert layer.groups == groups


def receptive_cells(layer: nn.Module, channel: int) -> Tensor:
    """Which inputs (C, 9, 9) the middle cell of one output channel depends on."""
    for parameter in layer.parameters():
        nn.init.ones_(parameter)
    features = torch.zeros(1, C, 9, 9, requires_grad=True)
    layer(features)[0, channel, 4, 4].backward()
    assert features.grad is not None
    return features.grad[0] != 0


@pytest.mark.parametrize("kind", COUNTS)
def test_receptive_cells_equal_the_formula(kind: ConvType) -> None:
    field = receptive_cells(same_padding_conv(kind, C, W, K), channel=0)
    expected = torch.zeros(C, 9, 9, dtype=torch.bool)
    cells = 4 + torch.tensor(SEEN[kind])
    expected[: C // 32 if kind == "grouped" else C, cells[:, None], cells] = True
    assert torch.equal(field, expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (5, 4)])
@pytest.mark.parametrize("kind", COUNTS)
def test_the_map_keeps_its_size(kind: ConvType, size: tuple[int, int]) -> None:
    assert same_padding_conv(kind, 4, 8, 3)(torch.zeros(2, 4, *size)).shape == (2, 8, *size)


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (5, 8), (6, 7)])
def test_transposed_upsampling_is_initially_nearest(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    coarse = torch.randn(2, 5, -(-size[0] // 2), -(-size[1] // 2))
    layer = make_upsampling("transposed", 5)
    assert sum(parameter.numel() for parameter in layer.parameters()) == 4 * 5 * 5
    assert torch.equal(layer(coarse, size), functional.interpolate(coarse, size=size, mode="nearest"))
    assert torch.equal(layer(coarse, size), make_upsampling("nearest", 5)(coarse, size))


def test_transposed_upsampling_repeats_the_last_cell_without_padding() -> None:
    coarse = torch.arange(6.0).view(1, 1, 2, 3)
    actual = TransposedUpsampling(1)(coarse, (5, 7))[0, 0]
    assert actual.shape == (5, 7)
    assert torch.equal(actual[:4, :6], coarse[0, 0].repeat_interleave(2, 0).repeat_interleave(2, 1))
    assert torch.equal(actual[4], actual[3])
    assert torch.equal(actual[:, 6], actual[:, 5])


MERGED = "model.backbone.output=merged"
PYRAMID = ("model.backbone.output=fpn", "model.backbone.fpn_levels=3", "model.rpn.anchor_sizes=[8,16,24,32]")


def made(*overrides: str) -> nn.Module:
    config = parse_config(merge_overrides(copy.deepcopy(dict[str, Any](TINY)), list(overrides)), "test")
    return build_detector(config, ("a", "b"))[0]


def learned(detector: nn.Module) -> list[str]:
    """The parameters that one step of training changes."""
    torch.manual_seed(0)
    images = Images(torch.randn(2, 3, 96, 96), ((96, 96), (80, 90)), (0, 1))
    boxes = torch.tensor([[8.0, 8.0, 40.0, 40.0], [30.0, 20.0, 78.0, 60.0]])
    none = torch.zeros(2, dtype=torch.bool)
    targets = [Targets(boxes, torch.tensor([1, 2]), none, none)] * 2
    before = {name: value.clone() for name, value in detector.named_parameters()}
    sum(loss.value for loss in detector.train()(images, targets).values()).backward()
    torch.optim.SGD(detector.parameters(), 1e-3).step()
    assert all(value.isfinite().all() for value in detector.parameters())
    return [name for name, value in detector.named_parameters() if not torch.equal(value, before[name])]


@pytest.mark.parametrize("up", ["nearest", "transposed"])
@pytest.mark.parametrize("output", [(MERGED,), PYRAMID], ids=["merged", "pyramid"])
@pytest.mark.parametrize("kind", COUNTS)
def test_detectors_with_each_conv_type_learn(kind: ConvType, output: tuple[str, ...], up: Upsampling) -> None:
    kinds = (f"model.rpn.conv_type={kind}", f"model.backbone.neck_conv_type={kind}")
    detector = made(*output, *kinds, f"model.backbone.upsampling={up}")
    actual = learned(detector)
    expected = [
        name for name, _ in detector.named_parameters() if name.startswith(("proposer.head.conv", "backbone.neck"))
    ]
    assert any(name.startswith("backbone.neck.up") for name in expected) == (up == "transposed")
    assert set(expected) <= set(actual)


def test_weight_count_in_a_detector_equals_the_formula() -> None:
    standard, separable = made(MERGED), made(MERGED, "model.rpn.conv_type=separable")
    count = [sum(parameter.numel() for parameter in each.parameters()) for each in (standard, separable)]
    assert count[0] - count[1] == 9 * 16 * 16 - (9 * 16 + 16 * 16)
