from __future__ import annotations

import pytest
import torch
from torch import nn

from detect.models.backbones.frozen_norm import FrozenConv2d, optimize_for_inference
from detect.models.backbones.normalization import Norm, convert_norms
from detect.models.backbones.registry import build_network


def network(name: str, norm: Norm) -> nn.Module:
    """In evaluation, its statistics such that every normalization does something."""
    torch.manual_seed(0)
    model = build_network(name)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            nn.init.normal_(layer.running_mean, std=0.1)
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
            nn.init.normal_(layer.bias, std=0.1)
    convert_norms([model], norm)
    return model.eval()


LARGER = ("mobilenet_v2", "densenet121")
PIXELS = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def test_optimize_for_inference_keeps_a_module_without_layers() -> None:
    empty = nn.Sequential()
    optimize_for_inference(empty)
    assert torch.equal(empty(PIXELS), PIXELS)


@pytest.mark.parametrize("name", ["resnet18", *(pytest.param(name, marks=pytest.mark.slow) for name in LARGER)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_optimized_frozen_norms_give_identical_bits(name: str, dtype: torch.dtype) -> None:
    before, after = network(name, "frozen"), network(name, "frozen")
    optimize_for_inference(after, dtype)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        assert torch.equal(before(PIXELS), after(PIXELS))
    assert not [layer for layer in after.modules() if isinstance(layer, FrozenConv2d)]
    assert {layer.weight.dtype for layer in after.modules() if isinstance(layer, nn.Conv2d | nn.Linear)} == {dtype}


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "densenet121"])
@torch.inference_mode()
def test_batch_norms_are_fused_into_their_convolution(name: str) -> None:
    before, after = network(name, "batch").double(), network(name, "batch").double()
    optimize_for_inference(after)
    torch.testing.assert_close(after(PIXELS.double()), before(PIXELS.double()))
    count = sum(isinstance(layer, nn.BatchNorm2d) for layer in after.modules())
    assert count == {"densenet121": 62}.get(name, 0)  # where it stands before its convolution it stays


def test_float64_weights_keep_their_dtype() -> None:
    exact = network("resnet18", "frozen").double()
    optimize_for_inference(exact, torch.bfloat16)
    assert exact(PIXELS.double()).dtype == torch.float64
