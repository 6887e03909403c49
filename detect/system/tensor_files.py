"""Tensors by name from files: published weights, ``.safetensors``, pickles of arrays, files of torch.save."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.models import WeightsEnum

from detect.errors import UserError, first_line, shorten
from detect.system.files import require_file
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
StateDict = dict[str, Tensor]
HEADER_LENGTH_BYTES = 8  # a little-endian integer, the length of the header


def read_safetensors(file: Path) -> dict[str, Tensor]:
    """Return all tensors by name; UserError if the file is damaged or is no .safetensors file."""
    content = bytearray(file.read_bytes())
    end = HEADER_LENGTH_BYTES + int.from_bytes(content[:HEADER_LENGTH_BYTES], "little")
    try:
        header = json.loads(content[HEADER_LENGTH_BYTES:end]) if len(content) >= end else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise UserError(
            f"{file}: expected a header of {end - HEADER_LENGTH_BYTES} bytes as .safetensors has it, found none"
        )
    buffer = memoryview(content)[end:]
    return {
        name: _read_tensor(f"{file}: {name}", buffer, entry) for name, entry in header.items() if name != "__metadata__"
    }


def _read_tensor(label: str, buffer: memoryview, entry: Any) -> Tensor:
    """Return the tensor that an entry of the header describes; error messages start with ``label``."""
    try:
        dtype, shape, (first, last) = DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
        if not all(type(integer) is int and 0 <= integer < 2**63 for integer in (*shape, first, last)):
            raise ValueError
        size = math.prod(shape) * dtype.itemsize
        fits = 0 <= first <= last <= len(buffer) and last - first == size
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{label}: expected a dtype, a shape and data_offsets, found {shorten(entry)}") from None
    if not fits:
        raise UserError(f"{label}: expected {size} bytes, found {first} to {last} of {len(buffer)}")
    if not size:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(buffer[first:last], dtype=torch.uint8).clone().view(dtype).view(shape)


def load_published(entry: WeightsEnum, label: str) -> StateDict:
    """Return the tensors of an entry of torchvision's weights enumerations, downloaded once and verified by its hash.

    Raises UserError: without a network it starts with ``label`` and says which file to put where; for a damaged file it
    names the file.
    """
    file = hub_path(entry.url)
    try:
        state: StateDict = entry.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:
        if file.is_file():
            raise UserError(f"{file}: expected the weights from {entry.url}, found {first_line(error)}") from None
        raise _download_error(entry.url, label, error) from None
    return state


def download(url: str, label: str) -> Path:
    """Return the file of a URL in torch hub's folder, downloaded once; raises UserError as ``load_published`` does."""
    file = hub_path(url)
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(file), progress=False)
        except Exception as error:
            raise _download_error(url, label, error) from None
    return file


def hub_path(url: str) -> Path:
    """Return the path where torch's hub stores the file of a URL."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]


def _download_error(url: str, label: str, error: Exception) -> UserError:
    file = hub_path(url)
    fix = f"put {file.name} into {file.parent}, or name a file"
    return UserError(f"{label}: could not fetch {url} ({first_line(error)}); {fix}")


def load_tensors(file: Path) -> StateDict:
    """Return the tensors of a state dict: a ``.safetensors`` file, a ``.pkl`` of arrays, or a file of ``torch.save``.

    If the file stores them under "model" or "blobs", as detectron2 and Caffe2 do, return those. Raises UserError if the
    file contains anything else; no code stored in it is run.
    """
    require_file(file, "a weights file")
    if file.suffix == ".safetensors":
        return read_safetensors(file)
    state = read_arrays(file) if file.suffix == ".pkl" else load_torch_file(file)
    for wrapper_key in ("model", "blobs"):
        if isinstance(state, dict) and isinstance(state.get(wrapper_key), dict):
            state = state[wrapper_key]
    return require_state_dict(state, file)


def require_state_dict(state: Any, file: Path) -> StateDict:
    """Return ``state`` with arrays as tensors. Raises UserError, which names the file, if anything else is in it."""
    unexpected = type(state).__name__
    if isinstance(state, dict):
        state = {name: _to_tensor(value) for name, value in state.items()}
        others = [name for name, value in state.items() if not isinstance(value, Tensor)]
        unexpected = f"{type(state[others[0]]).__name__} at {others[0]}" if others else ""
    if unexpected:
        raise UserError(f"{file}: expected a state dict of tensors, found {unexpected}")
    return dict(state)


def load_torch_file(file: Path) -> Any:
    """Return what torch.save has written, tensors and plain values; no code is run. Raises UserError."""
    require_file(file, "a weights file")
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"{file}: expected weights written by torch.save, found {first_line(error)}") from None


def _to_tensor(value: Any) -> Any:
    """Return a numeric array as a tensor; anything else unchanged."""
    return torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) and value.dtype.kind in "fiub" else value
