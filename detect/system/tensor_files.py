"""Tensors by name from files: published weights, ``.safetensors``, pickles of arrays, files of torch.save."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
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
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}
StateDict = dict[str, Tensor]
HEADER_LENGTH_BYTES = 8  # a little-endian integer, the length of the header


def encode_safetensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return tensors and texts as the content of a .safetensors file; the same ones always give the same bytes.

    The package ``safetensors`` writes the metadata in a random order, so that no two of its files are equal.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    chunks: list[bytes] = []
    first = 0
    # the widest first, so that every tensor is aligned when the file is mapped into memory
    for name, tensor in sorted(tensors.items(), key=lambda pair: (-pair[1].dtype.itemsize, pair[0])):
        chunks.append(tensor_bytes(tensor))
        last = first + len(chunks[-1])
        header[name] = {
            "dtype": DTYPE_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [first, last],
        }
        first = last
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % HEADER_LENGTH_BYTES)
    return b"".join([len(text).to_bytes(HEADER_LENGTH_BYTES, "little"), text, *chunks])


def tensor_bytes(tensor: Tensor) -> bytes:
    """Return the elements of a tensor in the order of its dimensions, little-endian on every common machine."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def read_safetensors(file: Path) -> dict[str, Tensor]:
    """Return all tensors by name; UserError if the file is damaged or is no .safetensors file."""
    content = bytearray(file.read_bytes())
    end = HEADER_LENGTH_BYTES + int.from_bytes(content[:HEADER_LENGTH_BYTES], "little")
    header = _parse_header(file, content[HEADER_LENGTH_BYTES:end], end - HEADER_LENGTH_BYTES)
    buffer = memoryview(content)[end:]
    return {
        name: _read_tensor(f"{file}: {name}", buffer, entry) for name, entry in header.items() if name != "__metadata__"
    }


def read_safetensors_metadata(file: Path) -> dict[str, str]:
    """Return the texts in the header of a .safetensors file, {} without any; the tensors are not read.

    Raises UserError if it is no such file.
    """
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(HEADER_LENGTH_BYTES), "little")
        size = file.stat().st_size - HEADER_LENGTH_BYTES
        header = _parse_header(file, stream.read(length) if length <= size else b"", length)
    metadata = header.get("__metadata__")
    texts = metadata.items() if isinstance(metadata, dict) else ()
    return {name: text for name, text in texts if isinstance(text, str)}


def _parse_header(file: Path, text: bytes | bytearray, length: int) -> dict[str, Any]:
    """Return the header of a .safetensors file that should have ``length`` bytes. Raises UserError."""
    try:
        header = json.loads(text) if len(text) == length else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise UserError(f"{file}: expected a header of {length} bytes as .safetensors has it, found none")
    return header


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
