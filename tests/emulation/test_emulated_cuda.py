"""The emulated device itself: what it refuses, what it counts, and that it computes as the CPU does."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import nms

from detect.training.optimizer import OptimizerName, build_optimizer, parameter_groups, set_learning_rate
from tests.emulation.emulated_cuda import emulated_cuda
from tests.emulation.emulated_device import CUDA, EmulatedDevice

HERE = Path(__file__)
Operation = Callable[[Tensor, Tensor], object]  # of a tensor on the device and the same one on the CPU


@pytest.fixture
def gpu() -> Iterator[EmulatedDevice]:
    with emulated_cuda(HERE) as device:
        yield device


@pytest.fixture
def cpu() -> Tensor:
    return torch.tensor([3.0, 0.0, 2.0, 2.0])


@pytest.fixture
def cuda(cpu: Tensor, gpu: EmulatedDevice) -> Tensor:
    moved = cpu.to("cuda")
    gpu.take_counts()
    return moved


def test_what_is_moved_says_where_it_is(cuda: Tensor, cpu: Tensor) -> None:
    layer = nn.Linear(4, 2).to("cuda")
    for tensor in (
        cuda,
        cuda + 1,
        cuda[:2],
        torch.zeros_like(cuda),
        torch.zeros(3, device="cuda"),
        *layer.parameters(),
    ):
        assert (tensor.device, tensor.is_cuda, tensor.is_cpu) == (CUDA, True, False)
    assert all(isinstance(parameter, nn.Parameter) and parameter.is_leaf for parameter in layer.parameters())
    for tensor in (cpu, cuda.cpu(), cuda.to("cpu"), torch.zeros_like(cuda, device="cpu")):
        assert (tensor.device.type, tensor.is_cuda) == ("cpu", False)
    assert cpu.to(cuda.double()).dtype == torch.float64
    assert cuda.to(torch.bfloat16).device == CUDA
    assert cuda.to(CUDA) is cuda
    assert torch.equal(cuda.double().cpu(), cpu.double())


MIXES: dict[str, Operation] = {
    "add": lambda cuda, cpu: cuda + cpu,
    "add, turned round": lambda cuda, cpu: cpu + cuda,
    "number of the device and a CPU tensor": lambda cuda, cpu: cuda[0] + cpu,
    "in place": lambda cuda, cpu: cuda.mul_(cpu),
    "cat": lambda cuda, cpu: torch.cat([cuda, cpu]),
    "stack of numbers": lambda cuda, cpu: torch.stack([cuda[0], cpu[0]]),
    "where": lambda cuda, cpu: torch.where(cuda > 1, cuda, cpu),
    "matmul": lambda cuda, cpu: cuda @ cpu,
    "gather": lambda cuda, cpu: cuda.gather(0, cpu.long()),
    "index_select": lambda cuda, cpu: cuda.index_select(0, cpu.long()),
    "index on the device of a CPU tensor": lambda cuda, cpu: cpu[cuda.long()],
    "CPU values at an index": lambda cuda, cpu: cuda.index_put_((torch.arange(4, device=CUDA),), cpu),
    "linear layer": lambda cuda, _: nn.Linear(4, 2)(cuda),
    "nms": lambda cuda, cpu: nms(cuda.expand(4, 4), cpu, 0.5),
}


@pytest.mark.parametrize("name", MIXES)
def test_mixed_devices_raise(name: str, cuda: Tensor, cpu: Tensor) -> None:
    with pytest.raises(RuntimeError, match=r"on the same device.* at test_emulated_cuda\.py:\d+"):
        MIXES[name](cuda, cpu)


@pytest.mark.parametrize("convert", [lambda x: x.numpy(), np.asarray, lambda x: x.detach().numpy()])
def test_numpy_of_a_cuda_tensor_raises(convert: Callable[[Tensor], object], cuda: Tensor) -> None:
    with pytest.raises(TypeError, match="can't convert cuda:0"):
        convert(cuda)


def fill_mask(cuda: Tensor, _: Tensor) -> None:
    cuda[cuda > 1] = 0


NO_WAITS: dict[str, Operation] = {
    "numbers of Python and of the CPU": lambda cuda, cpu: (cuda * 2 + cpu[0]).clamp(max=cpu[1]),
    "where with a number": lambda cuda, cpu: torch.where(cuda > 1, cuda, cpu[0]),
    "factories": lambda cuda, _: (torch.zeros(2, device=CUDA), cuda.new_ones(3), torch.arange(4, device=cuda.device)),
    "long index": lambda cuda, _: cuda[torch.arange(2, device=CUDA)],
    "number at a mask": fill_mask,
    "repeat_interleave of a known size": lambda cuda, _: cuda.repeat_interleave(cuda.long(), output_size=7),
    "pinned": lambda _, cpu: cpu.pin_memory().to(CUDA, non_blocking=True),
    "copy to the host, not awaited": lambda cuda, _: cuda.to("cpu", non_blocking=True),
    "sort": lambda cuda, _: cuda.sort(stable=True),
}


@pytest.mark.parametrize("name", NO_WAITS)
def test_operations_that_run_ahead_count_nothing(name: str, cuda: Tensor, cpu: Tensor, gpu: EmulatedDevice) -> None:
    NO_WAITS[name](cuda, cpu)
    assert not gpu.counts.waits
    assert not gpu.counts.pageable


def put(cuda: Tensor, cpu: Tensor) -> None:
    cuda[:] = cpu


WAITS: dict[str, tuple[str, Operation]] = {
    "float": ("read of a number", lambda cuda, _: float(cuda[0])),
    "bool": ("read of a number", lambda cuda, _: bool(cuda.isfinite().all())),
    "item": ("read of a number", lambda cuda, _: cuda.sum().item()),
    "tolist": ("tolist", lambda cuda, _: cuda.tolist()),
    "equal": ("equal", lambda cuda, _: torch.equal(cuda, cuda)),
    "nonzero": ("nonzero", lambda cuda, _: cuda.nonzero()),
    "where of one argument": ("nonzero", lambda cuda, _: torch.where(cuda > 1)),
    "mask": ("boolean index", lambda cuda, _: cuda[cuda > 1]),
    "masked_select": ("masked_select", lambda cuda, _: cuda.masked_select(cuda > 1)),
    "values at a mask": ("boolean index", lambda cuda, _: cuda.index_put_((cuda > 1,), -cuda[:3])),
    "unique": ("unique", lambda cuda, _: cuda.unique()),
    "bincount": ("bincount", lambda cuda, _: cuda.long().bincount()),
    "repeat_interleave": ("repeat_interleave", lambda cuda, _: cuda.repeat_interleave(cuda.long())),
    "nms": ("nms", lambda cuda, _: nms(cuda.expand(4, 4), cuda, 0.5)),
    "CPU index": ("index on the CPU", lambda cuda, _: cuda[torch.arange(2)]),
    "CPU mask": ("index on the CPU", lambda cuda, cpu: cuda[cpu > 1]),
    "list as index": ("index on the CPU", lambda cuda, _: cuda[[0, 1]]),
    "to": ("copy to the device", lambda _, cpu: cpu.to("cuda")),
    "cuda": ("copy to the device", lambda _, cpu: cpu.cuda()),
    "cpu": ("copy to the host", lambda cuda, _: cuda.cpu()),
    "assignment": ("blocking copy", put),
    "copy_ to the host": ("blocking copy", lambda cuda, cpu: cpu.copy_(cuda)),
    "tensor": ("tensor of Python values", lambda *_: torch.tensor([1.0, 2.0], device=CUDA)),
    "new_tensor": ("tensor of Python values", lambda cuda, _: cuda.new_tensor([1.0, 2.0])),
    "as_tensor": ("tensor of Python values", lambda *_: torch.as_tensor([1.0], device="cuda")),
    "synchronize": ("synchronize", lambda *_: torch.cuda.synchronize()),
    "event": ("synchronize", lambda *_: torch.cuda.Event().synchronize()),
}


@pytest.mark.parametrize("name", WAITS)
def test_a_wait_is_counted_once_at_its_line(name: str, cuda: Tensor, cpu: Tensor, gpu: EmulatedDevice) -> None:
    cause, operation = WAITS[name]
    operation(cuda, cpu)
    line = operation.__code__.co_firstlineno + (name == "assignment")
    assert dict(gpu.counts.waits) == {f"{HERE.name}:{line} {cause}": 1}


def test_copies_that_only_look_asynchronous_are_counted_apart(gpu: EmulatedDevice, cpu: Tensor) -> None:
    pinned = torch.zeros(4, pin_memory=True)
    assert (pinned.is_pinned(), pinned[1:].is_pinned(), cpu.is_pinned()) == (True, True, False)
    for tensor in (pinned, pinned[1:], cpu):
        tensor.to(CUDA, non_blocking=True)
    assert not gpu.counts.waits
    assert sum(gpu.counts.pageable.values()) == 1


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 2))


def train(device: str, dtype: torch.dtype | None, method: OptimizerName) -> nn.Module:
    model = network().to(device)
    optimizer = build_optimizer(method, parameter_groups(model, 0.01, 1e-4), 0.9)
    set_learning_rate(optimizer, 1.0)
    scaler = torch.amp.GradScaler(device, init_scale=1024, enabled=dtype == torch.float16)
    for step in range(3):
        pixels = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(step)).to(device)
        with torch.autocast(device, dtype or torch.bfloat16, enabled=dtype is not None):
            output = model(pixels)
            assert output.dtype == (dtype or torch.float32)
        optimizer.zero_grad()
        scaler.scale(output.float().square().sum()).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        scaler.step(optimizer)
        scaler.update()
    return model


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16], ids=["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("method", ["sgd", "adamw", "rmsprop"])
@pytest.mark.usefixtures("gpu")
def test_training_gives_the_weights_of_the_cpu(method: OptimizerName, dtype: torch.dtype | None) -> None:
    trained, start = train("cuda", dtype, method), network()
    for weight, initial in zip(trained.parameters(), start.parameters(), strict=True):
        assert weight.isfinite().all()
        assert not torch.equal(weight.cpu(), initial)
    if dtype is None:  # with 16 bits the first steps of RMSProp magnify the rounding
        for ours, theirs in zip(
            trained.state_dict().values(), train("cpu", dtype, method).state_dict().values(), strict=True
        ):
            torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-5, atol=1e-6)


def test_gradients_pass_between_the_devices(gpu: EmulatedDevice) -> None:
    start = torch.ones(3, requires_grad=True)
    (start * 2).to("cuda").square().cpu().sum().backward()
    assert start.grad is not None
    assert start.grad.tolist() == [8.0] * 3
    assert not gpu.counts.backward_waits


def test_waits_of_a_backward_pass_are_apart(gpu: EmulatedDevice, cuda: Tensor) -> None:
    leaf = cuda.clone().requires_grad_()
    leaf[cuda > 1].sum().backward()
    assert (sum(gpu.counts.waits.values()), sum(gpu.counts.backward_waits.values())) == (1, 1)


def test_copies_and_saved_weights(gpu: EmulatedDevice) -> None:
    model = network().to("cuda")
    twin = copy.deepcopy(model)
    assert all(isinstance(weight, nn.Parameter) and weight.is_cuda for weight in twin.parameters())
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    loaded = torch.load(file, map_location="cpu", weights_only=True)
    assert not any(weight.is_cuda for weight in loaded.values())
    gpu.take_counts()
    twin.load_state_dict(loaded)
    assert sum(gpu.counts.waits.values()) == len(loaded)


def test_nothing_stays_behind(cpu: Tensor) -> None:
    available = torch.cuda.is_available()
    with emulated_cuda():
        assert torch.cuda.is_available()
    assert torch.cuda.is_available() == available
    assert type(cpu + 1) is Tensor
