"""Tensors in a ``.safetensors`` file: a length, a JSON header of that length, and the numbers.

(https://github.com/huggingface/safetensors, "Format".) Read here because it is as short as the import of a package that
would do it, and runs nothing by its nature.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from detect.errors import UserError, told

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
LENGTH = 8  # bytes that say how long the header is, the least first


def read_safetensors(file: Path) -> dict[str, Tensor]:
    """All tensors by name; UserError where the file is damaged or is none."""
    content = bytearray(file.read_bytes())
    end = LENGTH + int.from_bytes(content[:LENGTH], "little")
    try:
        header = json.loads(content[LENGTH:end]) if len(content) >= end else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise UserError(f"{file}: expected a header of {end - LENGTH} bytes as .safetensors has it, found none")
    numbers = memoryview(content)[end:]
    return {
        name: _tensor(f"{file}: {name}", numbers, entry) for name, entry in header.items() if name != "__metadata__"
    }


def _tensor(what: str, numbers: memoryview, entry: Any) -> Tensor:
    """One tensor by its entry in the header; ``what`` is what an error calls it."""
    try:
        dtype, shape, (first, last) = DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
        if not all(type(number) is int and 0 <= number < 2**63 for number in (*shape, first, last)):
            raise ValueError
        size = math.prod(shape) * dtype.itemsize
        whole = 0 <= first <= last <= len(numbers) and last - first == size
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{what}: expected a dtype, a shape and data_offsets, found {told(entry)}") from None
    if not whole:
        raise UserError(f"{what}: expected {size} bytes, found {first} to {last} of {len(numbers)}")
    if not size:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(numbers[first:last], dtype=torch.uint8).clone().view(dtype).view(shape)
