"""A CUDA device emulated on the CPU: it finds mixed devices and counts the waits of the host, without a GPU.

Inside ``emulated_cuda()`` a tensor that is moved to ``cuda`` becomes a ``CudaTensor``: it says that it is on
``cuda:0``, its values are computed on the CPU, and an operation that CUDA would refuse raises. Every operation after
which the host waits for the device (a number that is read, ``nonzero``, a blocking copy, ...) is counted at the line of
the package that asked for it. Autocast of ``cuda`` becomes autocast of the CPU with the same type: its lists of
operations are almost CUDA's. Kernels, streams, memory and NCCL are not emulated, and neither is the error of reading
a copy to the host with ``non_blocking=True`` too early.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from tests.emulation.cuda_tensor import CudaTensor, convert, host_of, move
from tests.emulation.emulated_device import CUDA, PACKAGE, EmulatedDevice


@contextmanager
def emulated_cuda(package: Path = PACKAGE) -> Iterator[EmulatedDevice]:
    """Emulate a CUDA device; waits are counted at the lines of ``package``, a folder or a file."""
    gpu = EmulatedDevice(package)
    overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # a parameter that moves is a new tensor
    try:
        with ExitStack() as stack:
            for owner, name, replacement in _patches(gpu):
                stack.enter_context(mock.patch.object(owner, name, replacement, create=True))
            stack.enter_context(_DeviceFunctions(gpu))
            yield gpu
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(overwrite)


class _DeviceFunctions(TorchFunctionMode):
    """Takes what names a device in Python: factories, and ``to``, ``cuda`` and ``pin_memory`` of CPU tensors."""

    def __init__(self, gpu: EmulatedDevice) -> None:
        self.gpu = gpu

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.Tensor.to:
            return convert(args[0], self.gpu, *args[1:], **kwargs)
        if func is torch.Tensor.type_as:
            return convert(args[0], self.gpu, args[1])
        if func is torch.Tensor.cuda:
            return move(args[0], self.gpu, CUDA, kwargs.get("non_blocking", False))
        if func is torch.Tensor.pin_memory:
            return self.gpu.pin(args[0])
        if func is torch.Tensor.is_pinned:
            return self.gpu.is_pinned(args[0])
        pin = kwargs.pop("pin_memory", False)
        made = self._make(func, args, kwargs) if kwargs.get("device") is not None else func(*args, **kwargs)
        return self.gpu.pin(made) if pin else made

    def _make(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what a function with the argument ``device`` returns."""
        device = torch.device("cuda" if isinstance(kwargs["device"], int) else kwargs["device"])
        from_values = func in (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor)
        made = func(*tree_map(host_of, args), **{**kwargs, "device": torch.device("cpu")})
        if device.type != "cuda" or not isinstance(made, Tensor):
            return made
        if from_values and not any(isinstance(leaf, CudaTensor) for leaf in tree_leaves(args)):
            self.gpu.wait("tensor of Python values")
        return CudaTensor(made.detach(), self.gpu, made.requires_grad)


class _Autocast(torch.autocast):
    def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(_as_cpu(device_type), *args, **kwargs)


def _as_cpu(device_type: str) -> str:
    return "cpu" if device_type == "cuda" else device_type


def _no_grad_instead(mode: bool = True) -> AbstractContextManager[object]:
    """Return what stands in for ``inference_mode``, whose tensors cannot be wrapped."""
    return torch.no_grad() if mode else nullcontext()


def _grouped_by_device(group: Callable[..., dict[Any, Any]]) -> Callable[..., dict[Any, Any]]:
    """Return a replacement of the C++ function by which optimizers sort tensors, which asks C++ for the device."""

    def grouped(tensors: Any, with_indices: bool = False) -> dict[Any, Any]:
        return {
            (CUDA if isinstance(lists[0][0], CudaTensor) else device, dtype): (lists, indices)
            for (device, dtype), (lists, indices) in group(tensors, with_indices).items()
        }

    return grouped


def _patches(gpu: EmulatedDevice) -> list[tuple[object, str, object]]:
    """Return what stands in for torch's functions: owner, name, replacement."""
    waiting = SimpleNamespace(record=lambda *_: None, query=lambda: True, synchronize=lambda: gpu.wait("synchronize"))
    enabled, dtype = torch.is_autocast_enabled, torch.get_autocast_dtype
    properties = SimpleNamespace(name="emulated", total_memory=2**30, major=9, minor=0)
    group = torch._C._group_tensors_by_device_and_dtype
    health_checks = ("_accelerator_graph_capture_health_check", "_cuda_graph_capture_health_check")
    return [
        (torch, "autocast", _Autocast),
        (torch.amp, "autocast", _Autocast),
        (torch, "inference_mode", _no_grad_instead),
        (torch, "is_autocast_enabled", lambda *types: enabled(*map(_as_cpu, types))),
        (torch, "get_autocast_dtype", lambda name: dtype(_as_cpu(name))),
        (torch.cuda, "is_available", lambda: True),
        (torch.cuda, "device_count", lambda: 1),
        (torch.cuda, "current_device", lambda: 0),
        (torch.cuda, "get_device_name", lambda *_: properties.name),
        (torch.cuda, "get_device_properties", lambda *_: properties),
        (torch.cuda, "is_bf16_supported", lambda *_, **__: True),
        (torch.cuda, "is_current_stream_capturing", lambda: False),
        (torch.cuda, "synchronize", lambda *_: gpu.wait("synchronize")),
        (torch.cuda, "current_stream", lambda *_: waiting),
        (torch.cuda, "Event", lambda **_: waiting),
        (torch.accelerator, "is_available", lambda: True),  # asked by a loader that pins memory
        (torch.accelerator, "current_accelerator", lambda *_, **__: torch.device("cuda")),
        (torch._C, "_group_tensors_by_device_and_dtype", _grouped_by_device(group)),
        *((torch.optim.Optimizer, name, lambda _: None) for name in health_checks),
    ]
