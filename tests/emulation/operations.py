"""What CUDA does with an operation: which devices it may mix, and whether the host has to wait for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from tests.emulation.emulated_device import EmulatedDevice, in_backward

aten = torch.ops.aten

# Operations whose result has a size that only the device knows, or whose result the host reads.
WAITING: dict[Any, str] = {
    aten._local_scalar_dense.default: "read of a number",
    aten.equal.default: "equal",
    aten.nonzero.default: "nonzero",
    aten.masked_select.default: "masked_select",
    aten._unique2.default: "unique",
    aten.unique_dim.default: "unique",
    aten.unique_consecutive.default: "unique",
    aten.bincount.default: "bincount",
}
SLOW_IN_HALF: set[Any] = {  # on a CPU, up to a hundred times
    aten.convolution.default,
    aten.convolution_backward.default,
    aten.addmm.default,
    aten.mm.default,
    aten.bmm.default,
}
INDEXING: set[Any] = {aten.index.Tensor, aten._unsafe_index.Tensor}
INDEX_WRITING: set[Any] = {aten.index_put.default, aten.index_put_.default, aten._unsafe_index_put.default}


def is_on_host(leaf: Any) -> bool:
    """Return whether an argument is a tensor of the CPU."""
    return isinstance(leaf, Tensor) and not leaf.is_cuda


def require_one_device(gpu: EmulatedDevice, func: Any, args: Sequence[Any], tensors: Sequence[Tensor]) -> None:
    """Raise RuntimeError where CUDA does; it takes numbers (0-dim tensors) and indices of the CPU.

    A backward pass is not checked: for absent gradients C++ makes zeros on the device that it believes in.
    """
    if in_backward():
        return
    on_host = [tensor for tensor in tensors if is_on_host(tensor) and (tensor.dim() > 0 or func is aten.stack.default)]
    if not on_host or func in (aten.copy_.default, aten._to_copy.default):
        return
    if func in INDEXING | INDEX_WRITING and not is_on_host(args[0]):
        written = args[2] if func in INDEX_WRITING else None
        if not isinstance(written, Tensor) or written.is_cuda or written.dim() == 0:
            return
    raise RuntimeError(
        f"Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! {func} at "
        f"{gpu.line()}"
    )


def causes_of_waits(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[str]:
    """Return a text for each wait of the host that an operation causes."""
    if func in WAITING:
        return [WAITING[func]]
    if func is aten.repeat_interleave.Tensor:
        return [] if kwargs.get("output_size") is not None else ["repeat_interleave"]
    if str(func).startswith("torchvision.nms"):
        return ["nms"]
    if func is aten.copy_.default:
        non_blocking = kwargs.get("non_blocking") or (len(args) > 2 and args[2])
        return [] if non_blocking or is_on_host(args[0]) == is_on_host(args[1]) else ["blocking copy"]
    if func not in INDEXING | INDEX_WRITING:
        return []
    indices = [index for index in args[1] if index is not None]
    if func in INDEX_WRITING and len(indices) == 1 and indices[0].dtype == torch.bool and is_on_host(args[2]):
        return []  # a number at a mask: masked_fill
    causes = ["index on the CPU" for index in indices if is_on_host(index)]
    return causes + ["boolean index" for index in indices if not is_on_host(index) and index.dtype == torch.bool]


def run_in_float32(func: Any, args: Sequence[Any]) -> Any:
    """Run an operation in float32 and round its results to the 16 bits of its arguments, as tensor cores do."""
    dtype = args[0].dtype
    if dtype not in (torch.float16, torch.bfloat16):
        return func(*args)

    def cast(leaf: Any, source: torch.dtype, target: torch.dtype) -> Any:
        return leaf.to(target) if isinstance(leaf, Tensor) and leaf.dtype == source else leaf

    output = func(*tree_map(lambda leaf: cast(leaf, dtype, torch.float32), args))
    return tree_map(lambda leaf: cast(leaf, torch.float32, dtype), output)
