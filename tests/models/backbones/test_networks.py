from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from detect.models.backbones import registry
from detect.models.backbones.frozen_norm import freeze_norms
from detect.models.backbones.necks import Backbone, MergeLastTwo
from detect.models.backbones.network import (
    SHAPE_KEEPING,
    MapShape,
    SplitNetwork,
    StagedBody,
    map_shapes,
    tail_dim,
    to_meta,
)

WITH_NORMS = ["efficientnet_lite0", "mobilenet_v2", "resnet18", "small"]


def on_meta(name: str) -> tuple[nn.Module, SplitNetwork]:
    """Layers without memory: what costs seconds for VGG is done at once."""
    with torch.device("meta"):
        network = registry.build_network(name)
    return network, registry.split_stages(name, network)


def parts(network: SplitNetwork) -> list[nn.Module]:
    return [*network.stages, network.tail]


@pytest.mark.parametrize("name", ["alexnet", "vgg16"])
def test_stages_of_a_plain_network_are_its_layers_without_the_last_pooling(name: str) -> None:
    full_network, network = on_meta(name)
    layers = [layer for stage in network.stages for layer in stage.children()]
    features = full_network.get_submodule("features")
    assert all(a is b for a, b in zip(layers, list(features.children())[:-1], strict=True))


def with_statistics(name: str) -> nn.Module:
    """A network in float64 whose normalizations do something."""
    torch.manual_seed(1)
    network = nn.Sequential(*parts(registry.split_stages(name, registry.build_network(name).double())))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return network.eval()


def kernels(network: nn.Module) -> list[torch.Tensor]:
    return [module.weight for module in network.modules() if isinstance(module, nn.Conv2d)]


@pytest.mark.parametrize("name", WITH_NORMS)
def test_frozen_conv_equals_batch_norm_with_its_statistics(name: str) -> None:
    plain = with_statistics(name)
    folded = copy.deepcopy(plain)
    freeze_norms(folded)
    assert not any(isinstance(module, nn.BatchNorm2d | FrozenBatchNorm2d) for module in folded.modules())
    pixels = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    before, after = plain(pixels), folded.train()(pixels)  # no dropout here, so that training mode changes nothing
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-8)
    before.square().sum().backward()
    after.square().sum().backward()
    for a, b in zip(kernels(folded), kernels(plain), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-8)
    assert len(list(folded.parameters())) == len(kernels(folded))


def test_norm_without_a_plain_convolution_before_it_is_frozen_alone() -> None:
    torch.manual_seed(2)
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    network(torch.randn(8, 3, 6, 6) * 2 + 1)
    frozen = copy.deepcopy(network)
    freeze_norms(frozen)
    kinds = [type(module) for module in frozen]
    assert kinds == [FrozenBatchNorm2d, nn.Conv2d, FrozenBatchNorm2d]
    pixels = torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(frozen.train()(pixels), network.eval()(pixels))


def test_freeze_norms_refuses_a_norm_without_statistics() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4, track_running_stats=False))
    with pytest.raises(ValueError, match="without running statistics"):
        freeze_norms(network)


@pytest.mark.parametrize("frozen", [0, 2, 4])
def test_frozen_stages_get_no_gradient(frozen: int) -> None:
    torch.manual_seed(3)
    body = StagedBody(registry.split_stages("small", registry.build_network("small")).stages, frozen, num_outputs=4)
    statistics = [buffer.clone() for stage in body.stages[:frozen] for buffer in stage.buffers()]
    for fresh in (True, False):  # as made, and after a validation
        if not fresh:
            body.eval().train()
        maps = body(torch.randn(2, 3, 32, 32))
        assert [actual.requires_grad for actual in maps] == [False] * frozen + [True] * (4 - frozen)
    if frozen < 4:
        maps[-1].sum().backward()
    for index, stage in enumerate(body.stages):
        assert all((parameter.grad is None) == (index < frozen) for parameter in stage.parameters())
        assert stage.training == (index >= frozen)
    after = [buffer for stage in body.stages[:frozen] for buffer in stage.buffers()]
    assert all(torch.equal(a, b) for a, b in zip(after, statistics, strict=True))


@pytest.mark.parametrize("outputs", [1, 2, 4])
def test_body_returns_its_last_maps_finest_first(outputs: int) -> None:
    _, network = on_meta("small")
    body = StagedBody(network.stages, 0, outputs)
    maps = body(torch.empty(1, 3, 64, 64, device="meta"))
    assert [tuple(actual.shape[1:]) for actual in maps] == [(16, 32, 32), (32, 16, 16), (64, 8, 8), (128, 4, 4)][
        -outputs:
    ]


@pytest.mark.parametrize("bins", [1, 3, 7])
def test_tail_dim_is_the_length_of_the_vector(bins: int) -> None:
    tail = nn.Sequential(nn.Conv2d(5, 4, 3, padding=1), nn.Flatten())
    assert tail_dim(tail, 5, bins) == 4 * bins * bins
    assert {parameter.device.type for parameter in tail.parameters()} == {"cpu"}


@pytest.mark.parametrize("size", [(4, 6), (5, 7), (1, 1)])
def test_merge_last_two_has_the_finer_size(size: tuple[int, int]) -> None:
    neck = MergeLastTwo([3, 5], 8)
    fine, coarse = torch.randn(2, 3, *size), torch.randn(2, 5, -(-size[0] // 2), -(-size[1] // 2))
    (merged,) = neck((fine, coarse))
    assert merged.shape == (2, 8, *size)
    (other,) = neck((fine, coarse + 1))
    assert not torch.allclose(merged, other)


def test_backbone_runs_body_then_neck() -> None:
    torch.manual_seed(4)
    network = registry.split_stages("small", registry.build_network("small"))
    backbone = Backbone(StagedBody(network.stages, 0, num_outputs=2), MergeLastTwo([64, 128], 8)).eval()
    pixels = torch.randn(1, 3, 32, 32)
    assert torch.equal(backbone(pixels)[0], backbone.neck(backbone.body(pixels))[0])


@pytest.mark.parametrize("layer", [nn.ReLU, *SHAPE_KEEPING])
def test_map_shapes_leaves_out_layers_in_a_copy_alone(layer: type[nn.Module]) -> None:
    made = nn.BatchNorm2d(4) if layer is nn.BatchNorm2d else layer()
    body = StagedBody([nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), made)], 0, 1)
    assert map_shapes(body) == [MapShape(channels=4, stride=2)]
    assert body.stages[0][1] is made  # type: ignore[index]


def test_map_shapes_does_not_change_the_network() -> None:
    torch.manual_seed(5)
    network = registry.split_stages("small", registry.build_network("small"))
    body = StagedBody(network.stages, 0, 1).train()
    before = {name: value.clone() for name, value in body.state_dict().items()}
    map_shapes(body)
    empty = to_meta(body)
    assert body.training
    assert all(torch.equal(value, before[name]) for name, value in body.state_dict().items())
    assert {value.device.type for value in empty.state_dict().values()} == {"meta"}
    assert empty.state_dict().keys() == before.keys()
