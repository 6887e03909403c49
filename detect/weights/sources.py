"""Tensors by name from elsewhere: torchvision's published files, and files on the disk."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torchvision.models import WeightsEnum

from detect.errors import UserError
from detect.files import existing_file

State = dict[str, Tensor]


def published(entry: WeightsEnum, what: str) -> State:
    """The tensors of an entry of torchvision's enumerations, fetched once and checked by its hub.

    UserError that starts with ``what`` where there is no network, and names the file and where to put it.
    """
    file = Path(torch.hub.get_dir()) / "checkpoints" / entry.url.rsplit("/", 1)[-1]
    try:
        state: State = entry.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:
        if file.is_file():
            raise UserError(f"{file}: expected the weights from {entry.url}, found {_reason(error)}") from None
        cure = f"put {file.name} into {file.parent}, or name a file"
        raise UserError(f"{what}: could not fetch {entry.url} ({_reason(error)}); {cure}") from None
    return state


def in_file(file: Path) -> State:
    """The tensors of a state dict written by ``torch.save``; UserError where the file is none."""
    existing_file(file, "a weights file")
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"{file}: expected weights written by torch.save, found {_reason(error)}") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{file}: expected a state dict of tensors, found {type(state).__name__}")
    return state


def _reason(error: Exception) -> str:
    """The first line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
