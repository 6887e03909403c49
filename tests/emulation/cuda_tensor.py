"""A tensor that says it is on a CUDA device while the CPU computes its values, and its moves between the devices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from tests.emulation.emulated_device import CUDA, EmulatedDevice
from tests.emulation.operations import SLOW_IN_HALF, causes_of_waits, require_one_device, run_in_float32


class CudaTensor(torch.Tensor):
    """A tensor that says it is on ``cuda:0``; ``host`` holds its values on the CPU."""

    host: Tensor
    gpu: EmulatedDevice
    device = property(lambda _: CUDA)
    is_cuda = property(lambda _: True)
    is_cpu = property(lambda _: False)

    @staticmethod
    def __new__(cls, host: Tensor, gpu: EmulatedDevice, requires_grad: bool = False) -> CudaTensor:
        made: CudaTensor = torch.Tensor._make_wrapper_subclass(
            cls, host.size(), strides=host.stride(), storage_offset=host.storage_offset(), dtype=host.dtype,
            layout=host.layout, device=host.device, requires_grad=requires_grad,
        )  # fmt: skip
        made.host, made.gpu = host, gpu
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"CudaTensor({self.host})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            copy: Any = CudaTensor(self.host.detach().clone(), self.gpu, self.requires_grad)
            memo[id(self)] = nn.Parameter(copy, self.requires_grad) if is_parameter(self) else copy
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        self.gpu.wait("pickle")
        return self.host.detach().__reduce_ex__(protocol)

    def to(self, *args: Any, **kwargs: Any) -> Tensor:
        return convert(self, self.gpu, *args, **kwargs)

    def cpu(self, *_: Any, **__: Any) -> Tensor:
        return move(self, self.gpu, torch.device("cpu"))

    def cuda(self, *_: Any, **__: Any) -> Tensor:
        return self

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")

    def tolist(self) -> Any:
        self.gpu.wait("tolist")
        return self.host.tolist()

    def new_tensor(self, *args: Any, **kwargs: Any) -> Tensor:
        self.gpu.wait("tensor of Python values")
        return CudaTensor(self.host.new_tensor(*args, **kwargs), self.gpu)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch's own stub forgets the class and the operation
        cls, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        gpu = next(tensor.gpu for tensor in tensors if isinstance(tensor, CudaTensor))
        gpu.counts.operations += 1
        require_one_device(gpu, func, args, tensors)
        for cause in causes_of_waits(func, args, kwargs):
            gpu.wait(cause)
        host_args, host_kwargs = tree_map(host_of, (args, kwargs))
        in_half = func in SLOW_IN_HALF and not kwargs
        output = run_in_float32(func, host_args) if in_half else func(*host_args, **host_kwargs)
        name = func._schema.name
        if name.endswith("_") and not name.endswith("__"):  # in place
            return args[0] if func._schema.returns else None
        if "out" in kwargs:
            return kwargs["out"]
        return tree_map(lambda leaf: CudaTensor(leaf, gpu) if isinstance(leaf, Tensor) else leaf, output)


def host_of(leaf: Any) -> Any:
    """Return the tensor of the CPU behind one of the device, and anything else as it is."""
    return leaf.host if isinstance(leaf, CudaTensor) else leaf


def is_parameter(tensor: Any) -> bool:
    """Return whether a tensor is a parameter; for torch a tensor of another class may be one, for mypy not."""
    return isinstance(tensor, nn.Parameter)


def convert(tensor: Tensor, gpu: EmulatedDevice, *args: Any, **kwargs: Any) -> Tensor:
    """Return ``tensor.to(*args, **kwargs)``."""
    if args and isinstance(args[0], Tensor):
        args = (args[0].device, args[0].dtype, *args[1:])
    copy = kwargs.pop("copy", False)
    parsed: Any = torch._C._nn._parse_to(*args, **kwargs)  # torch's stub forgets that each may be None
    device, dtype, non_blocking, memory_format = parsed
    moved = tensor if device is None else move(tensor, gpu, device, non_blocking)
    if dtype is None and memory_format is None and not (copy and moved is tensor):
        return moved
    return torch.Tensor.to(moved, dtype or moved.dtype, copy=copy, memory_format=memory_format or torch.preserve_format)


def move(tensor: Tensor, gpu: EmulatedDevice, device: torch.device, non_blocking: bool = False) -> Tensor:
    """Return a tensor on another device; its gradient comes back."""
    if (device.type == "cuda") == isinstance(tensor, CudaTensor):
        return tensor
    if isinstance(tensor, CudaTensor):
        if not non_blocking:
            gpu.wait("copy to the host")
        to_host: Tensor = _ToHost.apply(tensor)
        return to_host
    if not non_blocking:
        gpu.wait("copy to the device")
    elif not gpu.is_pinned(tensor):
        gpu.counts.pageable[gpu.line()] += 1
    if is_parameter(tensor) or not tensor.requires_grad:
        return CudaTensor(tensor.detach().clone(), gpu, tensor.requires_grad)
    to_device: Tensor = _ToDevice.apply(tensor, gpu)
    return to_device


class _ToDevice(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, gpu: EmulatedDevice) -> Tensor:  # noqa: ARG004 - torch's interface
        return CudaTensor(tensor.detach().clone(), gpu)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, None]:  # noqa: ARG004
        return host_of(gradient), None


class _ToHost(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: CudaTensor) -> Tensor:
        ctx.gpu = tensor.gpu
        return tensor.host.detach().clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return CudaTensor(gradient, ctx.gpu)
