"""Receptive fields by rule against those that gradients measure, and against published ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision import models

from detect.explain.network.receptive_field import Field, ReceptiveFieldMode
from detect.models.backbones.lenet import ScaledTanh
from detect.models.backbones.necks import Backbone, MergeLastTwo, FPN
from detect.models.backbones.network import StagedBody
from detect.models.backbones.registry import split_stages, build_network


def fields_on(network: Callable[[Tensor], object], pixels: Tensor) -> list[Field | None]:
    with torch.no_grad(), ReceptiveFieldMode(pixels) as known:
        answer = network(pixels)
        return [known.field_of(maps) for maps in (answer if isinstance(answer, tuple | list) else [answer])]


def fields(network: nn.Module | Callable[[Tensor], object], shape: tuple[int, ...]) -> list[Field | None]:
    """Without data."""
    made = network.to("meta") if isinstance(network, nn.Module) else network
    return fields_on(made, torch.empty(shape, device="meta"))


def measured(maps: Tensor, pixels: Tensor, cell: tuple[int, int]) -> list[tuple[int, int]]:
    """Of each side the first pixel that a cell's gradient reaches, and the one after the last."""
    (gradient,) = torch.autograd.grad(maps[(0, slice(None), *cell)].sum(), pixels, retain_graph=True)
    found = []
    for side in range(2, pixels.dim()):
        others = [axis for axis in range(pixels.dim()) if axis != side]
        reached = gradient.abs().sum(others).nonzero().flatten()
        found.append((int(reached[0]), int(reached[-1]) + 1))
    return found


def positive(network: nn.Module) -> nn.Module:
    """Positive weights, no rectifier, means in place of maxima: no gradient is lost on its way."""
    for name, child in list(network.named_children()):
        if isinstance(child, nn.MaxPool2d):
            pool = child
            mean = nn.AvgPool2d(pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode)
            setattr(network, name, mean)
        elif isinstance(child, nn.ReLU | nn.ReLU6 | nn.BatchNorm2d | nn.LocalResponseNorm | ScaledTanh):
            setattr(network, name, nn.Identity())
        else:
            positive(child)
    for parameter in network.parameters():
        nn.init.constant_(parameter, 1.0)
    return network.double().eval()


def body(name: str, outputs: int = 1) -> StagedBody:
    return StagedBody(split_stages(name, build_network(name)).stages, 0, outputs)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "kernels": lambda: nn.Sequential(nn.Conv2d(3, 1, (3, 5), (2, 1), (1, 0)), nn.Conv2d(1, 1, 3, dilation=2)),
    "pools": lambda: nn.Sequential(nn.Conv2d(3, 1, 3), nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.AvgPool2d(2)),
    "transposed": lambda: nn.Sequential(nn.Conv2d(3, 1, 3, 2), nn.ConvTranspose2d(1, 1, 4, 2, 1), nn.Conv2d(1, 1, 3)),
    "enlarged": lambda: nn.Sequential(nn.Conv2d(3, 1, 3, 4), nn.Upsample(scale_factor=2), nn.Conv2d(1, 1, 3)),
    "bilinear": lambda: nn.Sequential(nn.Conv2d(3, 1, 3, 4), nn.Upsample(scale_factor=2, mode="bilinear")),
    "lenet": lambda: body("lenet"),
    "alexnet": lambda: body("alexnet"),
    "caffenet": lambda: body("caffenet"),
    "small": lambda: body("small"),
    "merged": lambda: Backbone(body("small", 2), MergeLastTwo((64, 128), 4)),
    "pyramid": lambda: Backbone(body("small", 3), FPN((32, 64, 128), 4)),
    "transposed pyramid": lambda: Backbone(body("small", 3), FPN((32, 64, 128), 4, upsampling="transposed")),
    "dilated neck": lambda: Backbone(body("small", 2), MergeLastTwo((64, 128), 4, conv_type="dilated")),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_fields_are_those_that_gradients_measure(name: str) -> None:
    """Of every third cell along a diagonal, at the borders too."""
    network = positive(NETWORKS[name]())
    pixels = torch.ones(1, 3, 83, 96, dtype=torch.float64, requires_grad=True)
    answer = network(pixels)
    maps = answer if isinstance(answer, tuple) else (answer,)
    for one, field in zip(maps, fields_on(network, pixels.detach()), strict=True):
        assert field is not None
        rows, columns = one.shape[2:]
        for row in [*range(0, rows, 3), rows - 1]:
            column = min(row, columns - 1)
            own = [(int(line.low[at]), int(line.high[at])) for line, at in zip(field, (row, column), strict=True)]
            assert own == measured(one, pixels, (row, column)), (row, column)


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
def test_figures_that_are_taught(layers: list[nn.Module], sees: int, jump: float) -> None:
    (field,) = fields(nn.Sequential(*layers), (1, 3, 33, 33))
    assert field is not None
    assert [(line.size, line.jump) for line in field] == [(sees, jump)] * 2


def test_a_strided_convolution_of_five_cells_leaves_three_then_two() -> None:
    first, second = (fields(nn.Sequential(*[conv(3, 2, 1)] * n), (1, 3, 5, 5))[0] for n in (1, 2))
    assert first is not None
    assert second is not None
    assert [len(first[0].low), len(second[0].low)] == [3, 2]
    assert list(zip(first[0].low.tolist(), first[0].high.tolist(), strict=True)) == [(0, 2), (1, 4), (3, 5)]


@pytest.mark.parametrize("sides", [1, 2, 3])
def test_any_number_of_sides(sides: int) -> None:
    kinds = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
    network = nn.Sequential(kinds[sides](3, 4, 3, groups=1), kinds[sides](4, 4, 3, stride=2, groups=4))
    (field,) = fields(network, (1, 3, *[17] * sides))
    assert field is not None
    assert [(line.size, line.jump) for line in field] == [(5, 2.0)] * sides


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
def test_published_networks(name: str, sees: int, jump: float) -> None:
    with torch.device("meta"):
        last = body(name).eval()
    pool = {"alexnet": nn.MaxPool2d(3, 2), "vgg16": nn.MaxPool2d(2, 2)}.get(name, nn.Identity())
    (field,) = fields(lambda pixels: pool(last(pixels)[0]), (1, 3, 1024, 1024))
    assert field is not None
    assert [(line.size, line.jump) for line in field] == [(sees, jump)] * 2


def test_squeezed_channels_see_everything() -> None:
    with torch.device("meta"):
        network = models.mobilenet_v3_small().features.eval()
    (field,) = fields(network, (1, 3, 320, 256))
    assert field is not None
    assert [line.size for line in field] == [320, 256]


def test_what_comes_from_no_pixel_has_no_field() -> None:
    pixels = torch.ones(1, 3, 8, 8)
    with ReceptiveFieldMode(pixels) as known:
        assert known.field_of(torch.ones(1, 3, 8, 8)) is None
        assert known.field_of(functional.relu(pixels)) is not None
        assert known.field_of(pixels.flatten(1)) is None
