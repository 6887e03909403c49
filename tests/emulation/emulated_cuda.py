"""A CUDA device emulated on the CPU: it finds mixed devices and counts the waits of the host, without a GPU.

Inside ``emulated_cuda()`` a tensor that is moved to ``cuda`` becomes a ``CudaTensor``: it says that it is on
``cuda:0``, its values are computed on the CPU, and an operation that CUDA would refuse raises. Every operation after
which the host waits for the device (a number that is read, ``nonzero``, a blocking copy, ...) is counted at the line of
the package that asked for it. Autocast of ``cuda`` becomes autocast of the CPU with the same type: its lists of
operations are almost CUDA's. Kernels, streams, memory and NCCL are not emulated, and neither is the error of reading
a copy to the host with ``non_blocking=True`` too early.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

CUDA = torch.device("cuda", 0)
PACKAGE = Path(__file__).resolve().parents[2] / "detect"
aten = torch.ops.aten

# Operations whose result has a size that only the device knows, or whose result the host reads.
WAITING = {
    aten._local_scalar_dense.default: "read of a number",
    aten.equal.default: "equal",
    aten.nonzero.default: "nonzero",
    aten.masked_select.default: "masked_select",
    aten._unique2.default: "unique",
    aten.unique_dim.default: "unique",
    aten.unique_consecutive.default: "unique",
    aten.bincount.default: "bincount",
}
SLOW_IN_HALF = {  # on a CPU, up to a hundred times
    aten.convolution.default,
    aten.convolution_backward.default,
    aten.addmm.default,
    aten.mm.default,
    aten.bmm.default,
}
INDEXING = {aten.index.Tensor, aten._unsafe_index.Tensor}
INDEX_WRITING = {aten.index_put.default, aten.index_put_.default, aten._unsafe_index_put.default}


class EmulatedDevice:
    """The device: what it was asked to do.

    waits, backward_waits: the number of times that the host waits, by the line of ``package`` and the cause; those of
    backward passes are apart; pageable: ``non_blocking`` copies from memory that is not pinned, which CUDA copies once
    more on the host; operations: the number of operations.
    """

    def __init__(self, package: Path) -> None:
        self.package = f"{package}/"
        self.pinned: dict[int, Tensor] = {}  # by the address of the storage; kept, so that no address is used again
        self.clear()

    def clear(self) -> None:
        """Start all counts anew."""
        self.waits: Counter[str] = Counter()
        self.backward_waits: Counter[str] = Counter()
        self.pageable: Counter[str] = Counter()
        self.operations = 0

    def wait(self, cause: str) -> None:
        """Count a wait at the innermost line of the package."""
        waits = self.waits if torch._C._current_graph_task_id() == -1 else self.backward_waits
        waits[f"{self.line()} {cause}"] += 1

    def line(self) -> str:
        """Return ``file:line`` of the innermost frame of the package, or ``outside``."""
        frame = sys._getframe(1)
        while frame is not None:
            file = frame.f_code.co_filename
            if file.startswith(self.package) and file != __file__:
                return f"{file.removeprefix(self.package)}:{frame.f_lineno}"
            frame = frame.f_back  # type: ignore[assignment]
        return "outside"

    def pin(self, tensor: Tensor) -> Tensor:
        """Return a copy of a tensor of the CPU in memory that counts as pinned."""
        copy = tensor.clone()
        self.pinned[copy.untyped_storage().data_ptr()] = copy
        return copy

    def is_pinned(self, tensor: Tensor) -> bool:
        """Return whether ``pin`` made the memory of a tensor."""
        return tensor.untyped_storage().data_ptr() in self.pinned

    def to(self, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return ``tensor.to(*args, **kwargs)``."""
        if args and isinstance(args[0], Tensor):
            args = (args[0].device, args[0].dtype, *args[1:])
        copy = kwargs.pop("copy", False)
        device, dtype, non_blocking, memory_format = torch._C._nn._parse_to(*args, **kwargs)
        moved = tensor if device is None else self.move(tensor, device, non_blocking)
        if dtype is None and memory_format is None and not (copy and moved is tensor):
            return moved
        return torch.Tensor.to(
            moved, dtype or moved.dtype, copy=copy, memory_format=memory_format or torch.preserve_format
        )

    def move(self, tensor: Tensor, device: torch.device, non_blocking: bool = False) -> Tensor:
        """Return a tensor on another device; its gradient comes back."""
        if (device.type == "cuda") == isinstance(tensor, CudaTensor):
            return tensor
        if isinstance(tensor, CudaTensor):
            if not non_blocking:
                self.wait("copy to the host")
            return _ToHost.apply(tensor)
        if not non_blocking:
            self.wait("copy to the device")
        elif not self.is_pinned(tensor):
            self.pageable[self.line()] += 1
        if isinstance(tensor, nn.Parameter) or not tensor.requires_grad:
            return CudaTensor(tensor.detach().clone(), self, tensor.requires_grad)
        return _ToDevice.apply(tensor, self)


class CudaTensor(torch.Tensor):
    """A tensor that says it is on ``cuda:0``; ``host`` holds its values on the CPU."""

    host: Tensor
    gpu: EmulatedDevice
    device = property(lambda _: CUDA)  # type: ignore[assignment]
    is_cuda = property(lambda _: True)  # type: ignore[assignment]
    is_cpu = property(lambda _: False)  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, host: Tensor, gpu: EmulatedDevice, requires_grad: bool = False) -> CudaTensor:
        made = torch.Tensor._make_wrapper_subclass(
            cls, host.size(), strides=host.stride(), storage_offset=host.storage_offset(), dtype=host.dtype,
            layout=host.layout, device=host.device, requires_grad=requires_grad,
        )  # fmt: skip
        made.host, made.gpu = host, gpu
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"CudaTensor({self.host})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if id(self) not in memo:
            copy: Tensor = CudaTensor(self.host.detach().clone(), self.gpu, self.requires_grad)
            memo[id(self)] = nn.Parameter(copy, self.requires_grad) if isinstance(self, nn.Parameter) else copy
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        self.gpu.wait("pickle")
        return self.host.detach().__reduce_ex__(protocol)

    def to(self, *args: Any, **kwargs: Any) -> Tensor:
        return self.gpu.to(self, *args, **kwargs)

    def cpu(self, *_: Any, **__: Any) -> Tensor:
        return self.gpu.move(self, torch.device("cpu"))

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
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        gpu = next(tensor.gpu for tensor in tensors if isinstance(tensor, CudaTensor))
        gpu.operations += 1
        _require_one_device(gpu, func, args, tensors)
        for cause in _causes_of_waits(func, args, kwargs):
            gpu.wait(cause)
        host_args, host_kwargs = tree_map(_on_host, (args, kwargs))
        output = _run_wide(func, host_args) if func in SLOW_IN_HALF and not kwargs else func(*host_args, **host_kwargs)
        name = func._schema.name
        if name.endswith("_") and not name.endswith("__"):  # in place
            return args[0] if func._schema.returns else None
        if "out" in kwargs:
            return kwargs["out"]
        return tree_map(lambda leaf: CudaTensor(leaf, gpu) if isinstance(leaf, Tensor) else leaf, output)


def _run_wide(func: Any, args: Any) -> Any:
    """Run an operation in float32 and round its results to the 16 bits of its arguments, as tensor cores do."""
    dtype = args[0].dtype
    if dtype not in (torch.float16, torch.bfloat16):
        return func(*args)

    def cast(leaf: Any, source: torch.dtype, to: torch.dtype) -> Any:
        return leaf.to(to) if isinstance(leaf, Tensor) and leaf.dtype == source else leaf

    output = func(*tree_map(lambda leaf: cast(leaf, dtype, torch.float32), args))
    return tree_map(lambda leaf: cast(leaf, torch.float32, dtype), output)


def _on_host(leaf: Any) -> Any:
    return leaf.host if isinstance(leaf, CudaTensor) else leaf


def _is_host(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and not isinstance(leaf, CudaTensor)


def _require_one_device(gpu: EmulatedDevice, func: Any, args: Any, tensors: Sequence[Tensor]) -> None:
    """Raise RuntimeError where CUDA does; it takes numbers (0-dim tensors) and indices of the CPU."""
    on_host = [tensor for tensor in tensors if _is_host(tensor) and (tensor.dim() > 0 or func is aten.stack.default)]
    if not on_host or func in (aten.copy_.default, aten._to_copy.default):
        return
    if func in INDEXING | INDEX_WRITING and not _is_host(args[0]):
        values = args[2] if func in INDEX_WRITING else None
        if not _is_host(values) or values.dim() == 0:
            return
    raise RuntimeError(
        f"Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! {func} at "
        f"{gpu.line()}"
    )


def _causes_of_waits(func: Any, args: Any, kwargs: Any) -> list[str]:
    """Return a text for each wait of the host that an operation causes."""
    if func in WAITING:
        return [WAITING[func]]
    if func is aten.repeat_interleave.Tensor:
        return [] if kwargs.get("output_size") is not None else ["repeat_interleave"]
    if str(func).startswith("torchvision.nms"):
        return ["nms"]
    if func is aten.copy_.default:
        non_blocking = kwargs.get("non_blocking") or (len(args) > 2 and args[2])
        return [] if non_blocking or _is_host(args[0]) == _is_host(args[1]) else ["blocking copy"]
    if func not in INDEXING | INDEX_WRITING:
        return []
    indices = [index for index in args[1] if index is not None]
    if func in INDEX_WRITING and len(indices) == 1 and indices[0].dtype == torch.bool and _is_host(args[2]):
        return []  # a number at a mask: masked_fill
    causes = ["index on the CPU" for index in indices if _is_host(index)]
    return causes + ["boolean index" for index in indices if not _is_host(index) and index.dtype == torch.bool]


class _ToDevice(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, gpu: EmulatedDevice) -> Tensor:  # noqa: ARG004
        return CudaTensor(tensor.detach().clone(), gpu)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        return _on_host(gradient), None


class _ToHost(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: CudaTensor) -> Tensor:
        ctx.gpu = tensor.gpu
        return tensor.host.detach().clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return CudaTensor(gradient, ctx.gpu)


class _Functions(TorchFunctionMode):
    """Takes what names a device in Python: factories, and ``to``, ``cuda`` and ``pin_memory`` of CPU tensors."""

    def __init__(self, gpu: EmulatedDevice) -> None:
        self.gpu = gpu

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.Tensor.to:
            return self.gpu.to(*args, **kwargs)
        if func is torch.Tensor.type_as:
            return self.gpu.to(args[0], args[1])
        if func is torch.Tensor.cuda:
            return self.gpu.move(args[0], CUDA, kwargs.get("non_blocking", False))
        if func is torch.Tensor.pin_memory:
            return self.gpu.pin(args[0])
        if func is torch.Tensor.is_pinned:
            return self.gpu.is_pinned(args[0])
        pin = kwargs.pop("pin_memory", False)
        made = self._make(func, args, kwargs) if kwargs.get("device") is not None else func(*args, **kwargs)
        return self.gpu.pin(made) if pin else made

    def _make(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Return what a function with the argument ``device`` returns."""
        device = torch.device("cuda" if isinstance(kwargs["device"], int) else kwargs["device"])
        from_values = func in (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor)
        made = func(*tree_map(_on_host, args), **{**kwargs, "device": torch.device("cpu")})
        if device.type != "cuda" or not isinstance(made, Tensor):
            return made
        if from_values and not any(isinstance(leaf, CudaTensor) for leaf in tree_leaves(args)):
            self.gpu.wait("tensor of Python values")
        return CudaTensor(made.detach(), self.gpu, made.requires_grad)


def _no_grad_instead(mode: bool = True) -> AbstractContextManager[object]:
    """Return what stands in for ``inference_mode``, whose tensors cannot be wrapped."""
    return torch.no_grad() if mode else nullcontext()


def _as_cpu(device_type: str) -> str:
    return "cpu" if device_type == "cuda" else device_type


class _Autocast(torch.autocast):
    def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(_as_cpu(device_type), *args, **kwargs)


def _grouped_by_device(group: Any) -> Any:
    """Return a replacement of the C++ function by which optimizers sort tensors, which asks C++ for the device."""

    def grouped(tensors: Any, with_indices: bool = False) -> Any:
        return {
            (CUDA if isinstance(lists[0][0], CudaTensor) else device, dtype): (lists, indices)
            for (device, dtype), (lists, indices) in group(tensors, with_indices).items()
        }

    return grouped


def _patches(gpu: EmulatedDevice) -> list[tuple[object, str, Any]]:
    """Return what stands in for torch's functions: owner, name, replacement."""
    waiting = SimpleNamespace(record=lambda *_: None, query=lambda: True, synchronize=lambda: gpu.wait("synchronize"))
    enabled, dtype = torch.is_autocast_enabled, torch.get_autocast_dtype
    properties = SimpleNamespace(name="emulated", total_memory=2**30, major=9, minor=0)
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
        (torch.cuda, "get_device_properties", lambda *_: properties),
        (torch.cuda, "is_bf16_supported", lambda *_, **__: True),
        (torch.cuda, "is_current_stream_capturing", lambda: False),
        (torch.cuda, "synchronize", lambda *_: gpu.wait("synchronize")),
        (torch.cuda, "current_stream", lambda *_: waiting),
        (torch.cuda, "Event", lambda **_: waiting),
        (
            torch._C,
            "_group_tensors_by_device_and_dtype",
            _grouped_by_device(torch._C._group_tensors_by_device_and_dtype),
        ),
        *((torch.optim.Optimizer, name, lambda _: None) for name in health_checks),
    ]


@contextmanager
def emulated_cuda(package: Path = PACKAGE) -> Iterator[EmulatedDevice]:
    """Emulate a CUDA device; waits are counted at the lines of the files in ``package``."""
    gpu = EmulatedDevice(package)
    overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # a parameter that moves is a new tensor
    try:
        with ExitStack() as stack:
            for owner, name, replacement in _patches(gpu):
                stack.enter_context(mock.patch.object(owner, name, replacement, create=True))
            stack.enter_context(_Functions(gpu))
            yield gpu
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(overwrite)
