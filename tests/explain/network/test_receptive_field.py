"""Receptive fields are equal to those measured by gradients, and to published ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision import models

from detect.explain.network.receptive_field import Field, ReceptiveFieldMode
from detect.models.backbones.lenet import ScaledTanh
from detect.models.backbones.necks import FPN, Backbone, MergeLastTwo
from detect.models.backbones.network import StagedBody
from detect.models.backbones.registry import build_network, split_stages


def fields_on(network: Callable[[Tensor], object], pixels: Tensor) -> list[Field | None]:
    with torch.no_grad(), ReceptiveFieldMode(pixels) as mode:
        output = network(pixels)
        return [mode.field_of(maps) for maps in (output if isinstance(output, tuple | list) else [output])]


def fields_on_meta(network: nn.Module | Callable[[Tensor], object], shape: tuple[int, ...]) -> list[Field | None]:
    """Return the fields without computing data."""
    meta = network.to("meta") if isinstance(network, nn.Module) else network
    return fields_on(meta, torch.empty(shape, device="meta"))


def field_by_gradient(maps: Tensor, pixels: Tensor, cell: tuple[int, int]) -> list[tuple[int, int]]:
    """Return for each axis the first pixel with a gradient of the cell, and the pixel after the last one."""
    (gradient,) = torch.autograd.grad(maps[(0, slice(None), *cell)].sum(), pixels, retain_graph=True)
    spans = []
    for side in range(2, pixels.dim()):
        others = [axis for axis in range(pixels.dim()) if axis != side]
        indices = gradient.abs().sum(others).nonzero().flatten()
        spans.append((int(indices[0]), int(indices[-1]) + 1))
    return spans


def make_positive(network: nn.Module) -> nn.Module:
    """Make all weights positive, drop rectifiers and replace maxima by means, so that no gradient vanishes."""
    for name, child in list(network.named_children()):
        if isinstance(child, nn.MaxPool2d):
            pool = child
            mean = nn.AvgPool2d(pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode)
            setattr(network, name, mean)
        elif isinstance(child, nn.ReLU | nn.ReLU6 | nn.BatchNorm2d | nn.LocalResponseNorm | ScaledTanh):
            setattr(network, name, nn.Identity())
        else:
            make_positive(child)
    for parameter in network.parameters():
        nn.init.constant_(parameter, 1.0)
    return network.double().eval()


def make_body(name: str, outputs: int = 1) -> StagedBody:
    return StagedBody(split_stages(name, build_network(name)).stages, 0, outputs)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "kernels": lambda: nn.Sequential(nn.Conv2d(3, 1, (3, 5), (2, 1), (1, 0)), nn.Conv2d(1, 1, 3, dilation=2)),
    "pools": lambda: nn.Sequential(nn.Conv2d(3, 1, 3), nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.AvgPool2d(2)),
    "transposed": lambda: nn.Sequential(nn.Conv2d(3, 1, 3, 2), nn.ConvTranspose2d(1, 1, 4, 2, 1), nn.Conv2d(1, 1, 3)),
    "enlarged": lambda: nn.Sequential(nn.Conv2d(3, 1, 3, 4), nn.Upsample(scale_factor=2), nn.Conv2d(1, 1, 3)),
    "bilinear": lambda: nn.Sequential(nn.Conv2d(3, 1, 3, 4), nn.Upsample(scale_factor=2, mode="bilinear")),
    "lenet": lambda: make_body("lenet"),
    "alexnet": lambda: make_body("alexnet"),
    "caffenet": lambda: make_body("caffenet"),
    "small": lambda: make_body("small"),
    "efficientnet_lite0": lambda: make_body("efficientnet_lite0"),
    "merged": lambda: Backbone(make_body("small", 2), MergeLastTwo((64, 128), 4)),
    "pyramid": lambda: Backbone(make_body("small", 3), FPN((32, 64, 128), 4)),
    "transposed pyramid": lambda: Backbone(make_body("small", 3), FPN((32, 64, 128), 4, upsampling="transposed")),
    "dilated neck": lambda: Backbone(make_body("small", 2), MergeLastTwo((64, 128), 4, conv_type="dilated")),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_fields_are_equal_to_those_measured_by_gradients(name: str) -> None:
    """Check every third cell along a diagonal, at the borders too."""
    network = make_positive(NETWORKS[name]())
    pixels = torch.ones(1, 3, 83, 96, dtype=torch.float64, requires_grad=True)
    output = network(pixels)
    levels = output if isinstance(output, tuple) else (output,)
    for maps, field in zip(levels, fields_on(network, pixels.detach()), strict=True):
        assert field is not None
        rows, columns = maps.shape[2:]
        for row in [*range(0, rows, 3), rows - 1]:
            column = min(row, columns - 1)
            spans = [
                (int(axis.low[cell]), int(axis.high[cell])) for axis, cell in zip(field, (row, column), strict=True)
            ]
            assert spans == field_by_gradient(maps, pixels, (row, column)), (row, column)


def conv(kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(3, 3, kernel, stride, padding, dilation)


@pytest.mark.parametrize(
    ("layers", "sees", "jump"),
    [
        ([], 1, 1),
        ([conv(3, dilation=2)], 5, 1),
        ([conv(3)] * 2, 5, 1),
        ([conv(3)] * 3, 7, 1),
        ([conv(3, 2, 1)] * 2, 7, 4),
        ([conv(1)], 1, 1),
    ],
)
def test_fields_of_textbook_examples(layers: list[nn.Module], sees: int, jump: float) -> None:
    (field,) = fields_on_meta(nn.Sequential(*layers), (1, 3, 33, 33))
    assert field is not None
    assert [(axis.size, axis.jump) for axis in field] == [(sees, jump)] * 2


def test_strided_convolutions_of_five_cells_leave_three_then_two() -> None:
    first, second = (fields_on_meta(nn.Sequential(*[conv(3, 2, 1)] * n), (1, 3, 5, 5))[0] for n in (1, 2))
    assert first is not None
    assert second is not None
    assert [len(first[0].low), len(second[0].low)] == [3, 2]
    assert list(zip(first[0].low.tolist(), first[0].high.tolist(), strict=True)) == [(0, 2), (1, 4), (3, 5)]


@pytest.mark.parametrize("sides", [1, 2, 3])
def test_fields_in_one_two_and_three_dimensions(sides: int) -> None:
    kinds = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
    network = nn.Sequential(kinds[sides](3, 4, 3, groups=1), kinds[sides](4, 4, 3, stride=2, groups=4))
    (field,) = fields_on_meta(network, (1, 3, *[17] * sides))
    assert field is not None
    assert [(axis.size, axis.jump) for axis in field] == [(5, 2.0)] * sides


# Araujo, Norris and Sim 2019 (distill.pub/2019/computing-receptive-fields) have 195 for AlexNet and 212 for VGG-16 at
# their last pooling layers, and 483 for ResNet-50. That is also what the strides of He et al.'s 1x1 convolutions give;
# torchvision's ResNet-50 steps in its 3x3 ones, and sees 7 + 4 + 3 * 8 + (8 + 3 * 16) + (16 + 5 * 32) + (32 + 2 * 64).
PUBLISHED = [
    ("alexnet", 195, 32),
    ("vgg16", 212, 32),
    ("resnet50_original", 483, 32),
    ("resnet50", 427, 32),
]


@pytest.mark.parametrize(("name", "sees", "jump"), PUBLISHED)
def test_fields_of_published_networks(name: str, sees: int, jump: float) -> None:
    with torch.device("meta"):
        last = make_body(name).eval()
    pool = {"alexnet": nn.MaxPool2d(3, 2), "vgg16": nn.MaxPool2d(2, 2)}.get(name, nn.Identity())
    (field,) = fields_on_meta(lambda pixels: pool(last(pixels)[0]), (1, 3, 1024, 1024))
    assert field is not None
    assert [(axis.size, axis.jump) for axis in field] == [(sees, jump)] * 2


def test_squeeze_and_excitation_sees_the_whole_image() -> None:
    with torch.device("meta"):
        network = models.mobilenet_v3_small().features.eval()
    (field,) = fields_on_meta(network, (1, 3, 320, 256))
    assert field is not None
    assert [axis.size for axis in field] == [320, 256]


def test_field_of_is_none_for_tensors_without_pixels() -> None:
    pixels = torch.ones(1, 3, 8, 8)
    with ReceptiveFieldMode(pixels) as mode:
        assert mode.field_of(torch.ones(1, 3, 8, 8)) is None
        assert mode.field_of(functional.relu(pixels)) is not None
        assert mode.field_of(pixels.flatten(1)) is None
