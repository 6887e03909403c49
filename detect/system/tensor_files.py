"""Tensors by name from elsewhere: torchvision's published files, and files on the disk."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.models import WeightsEnum

from detect.errors import UserError, told
from detect.system.files import existing_file
from detect.system.pickles import read_arrays

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
        name: _read_tensor(f"{file}: {name}", numbers, entry)
        for name, entry in header.items()
        if name != "__metadata__"
    }


def _read_tensor(what: str, numbers: memoryview, entry: Any) -> Tensor:
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


State = dict[str, Tensor]


def published(entry: WeightsEnum, what: str) -> State:
    """The tensors of an entry of torchvision's enumerations, fetched once and checked by its hub.

    UserError that starts with ``what`` where there is no network, and names the file and where to put it.
    """
    file = place_of(entry.url)
    try:
        state: State = entry.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:
        if file.is_file():
            raise UserError(f"{file}: expected the weights from {entry.url}, found {_reason(error)}") from None
        raise _not_fetched(entry.url, what, error) from None
    return state


def fetched_file(url: str, what: str) -> Path:
    """The file of an address, fetched once, beside torchvision's; UserError as from ``published``."""
    file = place_of(url)
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(file), progress=False)
        except Exception as error:
            raise _not_fetched(url, what, error) from None
    return file


def place_of(url: str) -> Path:
    """Where torch's hub keeps what it has fetched from an address."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]


def _not_fetched(url: str, what: str, error: Exception) -> UserError:
    file = place_of(url)
    cure = f"put {file.name} into {file.parent}, or name a file"
    return UserError(f"{what}: could not fetch {url} ({_reason(error)}); {cure}")


def in_file(file: Path) -> State:
    """The tensors of a state dict: a ``.safetensors`` file, a ``.pkl`` of arrays, or what ``torch.save`` wrote.

    Where they are kept under "model" or "blobs", as detectron2 and Caffe2 keep them, those. UserError where the file
    holds anything else; nothing that it names is run.
    """
    existing_file(file, "a weights file")
    if file.suffix == ".safetensors":
        return read_safetensors(file)
    state = read_arrays(file) if file.suffix == ".pkl" else _saved_by_torch(file)
    for kept in ("model", "blobs"):
        if isinstance(state, dict) and isinstance(state.get(kept), dict):
            state = state[kept]
    found = type(state).__name__
    if isinstance(state, dict):
        state = {name: _tensor(value) for name, value in state.items()}
        others = [name for name, value in state.items() if not isinstance(value, Tensor)]
        found = f"{type(state[others[0]]).__name__} at {others[0]}" if others else ""
    if found:
        raise UserError(f"{file}: expected a state dict of tensors, found {found}")
    return dict(state)


def _saved_by_torch(file: Path) -> Any:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"{file}: expected weights written by torch.save, found {_reason(error)}") from None


def _tensor(value: Any) -> Any:
    """An array of numbers as a tensor; anything else as it is."""
    return torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) and value.dtype.kind in "fiub" else value


def _reason(error: Exception) -> str:
    """The first line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
