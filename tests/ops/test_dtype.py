from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from detect.ops.dtype import at_least_float32, output_in_float32


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
@pytest.mark.parametrize("shape", [(0,), (2, 3)])
def test_at_least_float32_keeps_values(dtype: torch.dtype, expected: torch.dtype, shape: tuple[int, ...]) -> None:
    values = torch.ones(shape, dtype=dtype) / 3
    converted = at_least_float32(values)
    assert converted.dtype == expected
    assert torch.equal(converted, values.to(expected))


def layer_and_inputs(kind: str, count: int) -> tuple[nn.Conv2d | nn.Linear, Tensor]:
    torch.manual_seed(0)
    if kind == "linear":
        return nn.Linear(16, 5), torch.randn(count, 16)
    return nn.Conv2d(16, 5, 1), torch.randn(count, 16, 3, 2)


@pytest.mark.parametrize("kind", ["linear", "convolution"])
@pytest.mark.parametrize("count", [0, 4])
def test_output_is_not_rounded_under_autocast(kind: str, count: int) -> None:
    layer, inputs = layer_and_inputs(kind, count)
    rounded = inputs.bfloat16()  # as the layer before it leaves them
    with torch.autocast("cpu", torch.bfloat16):
        output = output_in_float32(layer, rounded)
        plain = layer(rounded)
        assert torch.is_autocast_enabled("cpu")
    assert output.dtype == torch.float32
    assert torch.equal(output, layer(rounded.float()))
    assert count == 0 or not torch.equal(output, plain.float())


@pytest.mark.parametrize("kind", ["linear", "convolution"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_output_has_the_type_of_the_weights_at_least(kind: str, dtype: torch.dtype) -> None:
    layer, inputs = layer_and_inputs(kind, 4)
    layer.to(dtype)
    output = output_in_float32(layer, inputs.to(dtype))
    assert output.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.equal(output, layer(inputs.to(dtype)).to(output.dtype))
    if dtype == torch.bfloat16:
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(output_in_float32(layer, inputs), output)


@pytest.mark.parametrize("kind", ["linear", "convolution"])
def test_output_on_a_device_without_autocast_has_its_shape(kind: str) -> None:
    layer, inputs = layer_and_inputs(kind, 4)
    layer.to("meta")
    assert output_in_float32(layer, inputs.to("meta")).shape[:2] == (4, 5)


def test_gradients_reach_the_weights_under_autocast() -> None:
    layer, inputs = layer_and_inputs("linear", 4)
    with torch.autocast("cpu", torch.bfloat16):
        output_in_float32(layer, inputs.bfloat16()).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32
