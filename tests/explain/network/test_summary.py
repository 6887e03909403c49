from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from detect.config import Config
from detect.config.builders.detector import build_uninitialized
from detect.config.files import merge_overrides, parse_config
from detect.errors import UserError
from detect.explain.network.receptive_field import ReceptiveFieldMode, record_fields
from detect.explain.network.summary import IMAGE, UNBOUNDED, LayerSummary, record_layers, summarize
from detect.models.backbones.registry import build_network
from tests.conftest import TINY

CLASSES = tuple("abc")


def layers_of(network: torch.nn.Module, size: Sequence[int]) -> tuple[LayerSummary, ...]:
    """Return the layers of any network on an input of ``size`` (images, channels, and 1, 2 or 3 sides)."""
    empty = torch.empty(tuple(size), device="meta")
    network = network.to("meta").eval()
    with torch.no_grad(), ReceptiveFieldMode(empty) as mode, record_fields(network, mode, "network") as fields:
        network(empty)
    return record_layers("network", network, lambda: network(empty), fields)[1].layers


def tiny_config(*overrides: str) -> Config:
    return parse_config(merge_overrides(dict[str, Any](TINY), ["data.classes=[a,b,c]", *overrides]), "test")


# min_size 96 makes the image 96 x 128; the merged map has stride 8, and the RPN sees 183 pixels + 4 of its cells
ROWS = [
    LayerSummary(
        "backbone",
        "body.stages.0.0",
        "Conv2d",
        (1, 16, 48, 64),
        3 * 9 * 16,
        48 * 64 * 16 * 3 * 9,
        196608,
        (3, 3),
        (2, 2),
    ),
    LayerSummary("backbone", "body.stages.0.1", "BatchNorm2d", (1, 16, 48, 64), 2 * 16, 0, 196608, (3, 3), (2, 2)),
    LayerSummary(
        "proposer",
        "head.conv",
        "Conv2d",
        (1, 16, 12, 16),
        16 * 16 * 9 + 16,
        12 * 16 * 16 * 16 * 9,
        12288,
        (215, 215),
        (8, 8),
    ),
    LayerSummary("regions", "roi_align", "PooledRegions", (30, 16, 3, 3), 0, 0, 17280),
    LayerSummary("head", "tail.layers.0", "Flatten", (30, 144), 0, 0, 17280),
    LayerSummary("head", "tail.layers.1", "Linear", (30, 16), 144 * 16 + 16, 30 * 144 * 16, 1920),
    LayerSummary("head", "logits", "Linear", (30, 4), 16 * 4 + 4, 30 * 16 * 4, 480),
    LayerSummary("head", "deltas", "Linear", (30, 12), 16 * 12 + 12, 30 * 16 * 12, 1440),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_layers_are_equal_to_hand_counts(row: LayerSummary) -> None:
    summary = summarize(tiny_config())
    assert summary.canvas == (96, 128)
    (layer,) = (layer for layer in summary.layers if (layer.slot, layer.name) == (row.slot, row.name))
    assert layer == row
    assert layer.memory == 4 * math.prod(layer.output)


def test_layers_of_the_mask_head_are_counted() -> None:
    mask = ("model.kind=mask_rcnn", "model.mask.pool_size=4", "model.mask.num_convs=1", "model.mask.channels=8")
    plain, masked = summarize(tiny_config()), summarize(tiny_config(*mask))
    convolution, transposed, logits = 16 * 8 * 9 + 8, 8 * 8 * 4 + 8, 8 * 3 + 3
    assert masked.totals.pop("mask_head").parameters == convolution + transposed + logits
    assert masked.totals == plain.totals
    assert [layer.name for layer in masked.layers if layer.slot == "mask_head"] == ["layers.0.0", "upsample", "logits"]
    stages = summarize(tiny_config(*mask, "model.cascade.ious=[0.5,0.6]", "model.mask.per_stage=true"))
    assert stages.totals["mask_head"].parameters == 2 * (convolution + transposed + logits)


def test_layers_of_every_stage_of_a_cascade_are_counted() -> None:
    plain, cascade = (
        summarize(tiny_config("model.head.class_agnostic=true")),
        summarize(tiny_config("model.kind=cascade_rcnn")),
    )
    assert cascade.totals["head"].parameters == 3 * plain.totals["head"].parameters
    assert cascade.totals["head"].multiply_adds == 3 * plain.totals["head"].multiply_adds
    assert {"0.logits", "1.logits", "2.tail.layers.1"} <= {layer.name for layer in cascade.layers}


NETWORKS = [
    (),
    ("model.backbone.norm=frozen",),
    ("model.backbone.frozen_stages=2",),
    ("model.backbone.output=c4", "model.head.type=backbone"),
    ("model.backbone.name=mobilenet_v2", "model.backbone.norm=frozen", "model.backbone.weights=no-such-file.pth"),
    ("model.backbone.output=dc5", "model.head.type=conv_fc", "model.head.norm=group"),
    ("model.backbone.output=fpn", "model.backbone.fpn_levels=3", "model.rpn.anchor_sizes=[8,16,24,32]"),
    ("model.backbone.upsampling=transposed", "model.backbone.neck_conv_type=separable"),
    ("model.head.transform=spatial_transformer",),
    ("model.kind=fast_rcnn", "model.proposals=selective_search"),
    ("model.kind=rcnn", "model.proposals=selective_search", "train.recipe=rcnn", "model.backbone.frozen_stages=1"),
]


@pytest.mark.parametrize("overrides", NETWORKS, ids=" ".join)
def test_totals_are_equal_to_those_of_the_detector(overrides: tuple[str, ...]) -> None:
    config = tiny_config(*overrides)
    summary = summarize(config)
    with torch.device("meta"):
        detector = build_uninitialized(config, CLASSES)
    for slot, total in summary.totals.items():
        part = getattr(detector, slot)
        parameters = (
            list(part.parameters()) if isinstance(part, torch.nn.Module) else []
        )  # precomputed proposals have none
        assert total.parameters == sum(parameter.numel() for parameter in parameters)
        assert total.trainable == sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
        layers = [layer for layer in summary.layers if layer.slot == slot]
        assert total.parameters == sum(layer.parameters for layer in layers)
        assert total.multiply_adds == sum(layer.multiply_adds for layer in layers)
        assert bool(total.multiply_adds) == bool(parameters)
    assert summary.total.parameters == sum(parameter.numel() for parameter in detector.parameters())


def test_rpn_layers_are_listed_for_each_pyramid_level_and_counted_once() -> None:
    summary = summarize(
        tiny_config("model.backbone.output=fpn", "model.backbone.fpn_levels=3", "model.rpn.anchor_sizes=[8,16,24,32]")
    )
    rows = [layer for layer in summary.layers if layer.name == "head.objectness"]
    assert [row.output for row in rows] == [(1, 3, 24, 32), (1, 3, 12, 16), (1, 3, 6, 8), (1, 3, 3, 4)]
    assert [row.parameters for row in rows] == [16 * 3 + 3, 0, 0, 0]
    (row,) = (layer for layer in summary.layers if layer.slot == "regions")
    assert row == LayerSummary("regions", "roi_align", "PyramidRegions", (30, 16, 3, 3), 0, 0, 17280)


def test_rcnn_body_is_counted_for_each_crop() -> None:
    overrides = ("model.kind=rcnn", "model.proposals=selective_search", "train.recipe=rcnn")
    summary = summarize(tiny_config(*overrides, "model.crop.size=64", "model.search.test_top_n=7"))
    rows = [layer for layer in summary.layers if layer.slot == "regions"]
    assert rows[0] == LayerSummary(
        "regions",
        "body.body.stages.0.0",
        "Conv2d",
        (7, 16, 32, 32),
        3 * 9 * 16,
        7 * 32 * 32 * 16 * 3 * 9,
        4 * 7 * 16 * 32 * 32,
        (3, 3),
        (2, 2),
    )
    assert rows[-1] == LayerSummary("regions", "warped crop", "WarpedCrops", (7, 16, 3, 3), 0, 0, 4032)
    assert set(summary.totals) == {"backbone", "proposer", "regions", "head"}
    assert summary.totals["backbone"].parameters == 0
    assert summary.total.parameters == sum(layer.parameters for layer in summary.layers)


@pytest.mark.parametrize(("data_format", "classes"), [("voc", 20), ("coco", 80)])
def test_number_of_classes_defaults_to_that_of_the_format(data_format: str, classes: int) -> None:
    summary = summarize(tiny_config("data.classes=null", f"data.format={data_format}", "data.root=nowhere"))
    assert summary.classes == classes
    assert summary.layers[-1].output == (30, 4 * classes)


def test_larger_image_has_more_multiply_adds_and_the_same_parameters() -> None:
    small, large = summarize(tiny_config()), summarize(tiny_config("data.min_size=192", "data.max_size=256"))
    assert large.canvas == (192, 256) == tuple(side * 2 // 5 for side in IMAGE)
    assert large.totals["backbone"].multiply_adds == 4 * small.totals["backbone"].multiply_adds
    assert large.total.parameters == small.total.parameters


def test_summarize_refuses_an_unknown_backbone() -> None:
    with pytest.raises(UserError, match='did you mean "resnet18"'):
        summarize(tiny_config("model.backbone.name=resnet81"))


CONV = {1: torch.nn.Conv1d, 2: torch.nn.Conv2d, 3: torch.nn.Conv3d}
TRANSPOSED = {1: torch.nn.ConvTranspose1d, 2: torch.nn.ConvTranspose2d, 3: torch.nn.ConvTranspose3d}


@pytest.mark.parametrize("sides", [1, 2, 3])
def test_convolutions_are_counted_in_any_dimension(sides: int) -> None:
    """6 channels on 7 cells a side; kernels of 3."""
    kernel, cells, padded = 3**sides, 5**sides, 7**sides
    rows = [
        (CONV[sides](6, 12, 3), 5, 12 * 6 * kernel + 12, cells * 12 * 6 * kernel),
        (CONV[sides](6, 12, 3, groups=3), 5, 12 * 2 * kernel + 12, cells * 12 * 2 * kernel),
        (CONV[sides](6, 6, 3, groups=6, bias=False), 5, 6 * kernel, cells * 6 * kernel),
        (CONV[sides](6, 12, 1), 7, 12 * 6 + 12, padded * 12 * 6),
        (CONV[sides](6, 12, 3, dilation=2), 3, 12 * 6 * kernel + 12, 3**sides * 12 * 6 * kernel),
        (TRANSPOSED[sides](6, 12, 3), 9, 12 * 6 * kernel + 12, padded * 12 * 6 * kernel),
    ]
    for layer, side, parameters, multiply_adds in rows:
        (row,) = layers_of(layer, (1, 6, *[7] * sides))
        assert row.output == (1, layer.out_channels, *[side] * sides), layer
        assert (row.parameters, row.multiply_adds) == (parameters, multiply_adds), layer


def test_counts_of_textbook_examples() -> None:
    """Where textbooks differ, a comment says what is counted."""
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 10, 5, padding=1),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(10 * 13 * 13, 200),
    )
    assert [layer.parameters for layer in layers_of(net, (1, 1, 28, 28)) if layer.parameters] == [250 + 10, 338_200]
    assert sum(layer.parameters for layer in layers_of(net, (1, 1, 28, 28))) == 338_460
    (conv,) = layers_of(torch.nn.Conv2d(3, 6, 5), (1, 3, 32, 32))  # a textbook says 156, without the three channels
    assert (conv.output, conv.parameters) == ((1, 6, 28, 28), 456)
    full = torch.nn.Linear(3 * 32 * 32, 6 * 28 * 28, bias=False)
    (linear,) = layers_of(full, (1, 3 * 32 * 32))
    assert linear.parameters == 14_450_688
    separable = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 3, groups=3), torch.nn.Conv2d(3, 128, 1))
    assert sum(layer.multiply_adds for layer in layers_of(separable, (1, 3, 7, 7))) == 10_275
    (standard,) = layers_of(torch.nn.Conv2d(3, 128, 3), (1, 3, 7, 7))
    assert standard.multiply_adds == 86_400
    strided = torch.nn.Sequential(*[torch.nn.Conv2d(1, 1, 3, 2, 1) for _ in range(2)])
    assert [layer.output[-1] for layer in layers_of(strided, (1, 1, 5, 5))] == [3, 2]
    (transposed,) = layers_of(torch.nn.ConvTranspose2d(1, 1, 3), (1, 1, 2, 2))
    assert transposed.output == (1, 1, 4, 4)


# Parameters, multiply-adds of an image of 224 pixels (AlexNet of 2012: 227). torchvision's documentation has: 61.1 M
# and 0.71 G, 138.4 M and 15.47 G, 6.6 M and 1.50 G (no auxiliary classifiers), 25.6 M and 4.09 G. Papers:
# AlexNet 60 M; VGG16 138 M (table 2); ResNet-50 3.8 G, which is that of strides in the 1x1 convolutions (table 1).
TOTALS = [
    ("alexnet", 224, 61_100_840, 0.71),
    ("alexnet_original", 227, 60_965_224, 0.72),
    ("vgg16", 224, 138_357_544, 15.47),
    ("googlenet", 224, 6_624_904, 1.50),
    ("resnet50", 224, 25_557_032, 4.09),
    ("resnet50_original", 224, 25_557_032, 3.86),
]


@pytest.mark.parametrize(("name", "side", "parameters", "billions"), TOTALS)
def test_layers_add_up_to_published_totals(name: str, side: int, parameters: int, billions: float) -> None:
    with torch.device("meta"):
        layers = layers_of(build_network(name), (1, 3, side, side))
    assert sum(layer.parameters for layer in layers) == parameters
    assert sum(layer.multiply_adds for layer in layers) / 1e9 == pytest.approx(billions, abs=0.006)


def test_layers_have_fields_and_jumps() -> None:
    summary = summarize(
        tiny_config("model.backbone.output=fpn", "model.backbone.fpn_levels=3", "model.rpn.anchor_sizes=[8,16,24,32]")
    )
    rows = [layer for layer in summary.layers if layer.name == "head.objectness"]
    assert [row.jump for row in rows] == [(4.0, 4.0), (8.0, 8.0), (16.0, 16.0), (32.0, 32.0)]
    assert all(row.field is not None and row.field[0] > 50 for row in rows)
    assert all(layer.field is None for layer in summary.layers if layer.slot in ("regions", "head"))
    (linear,) = layers_of(torch.nn.Linear(4, 2), (1, 4))
    assert (linear.field, linear.jump) == (None, None)


@pytest.mark.slow
def test_unbounded_field_is_the_whole_image() -> None:
    summary = summarize(tiny_config("model.backbone.name=mobilenet_v3_small"))
    assert summary.layers[0].field == (3, 3)
    assert [layer.field for layer in summary.layers if layer.slot == "backbone"][-1] == (UNBOUNDED, UNBOUNDED)
