"""Keeps a command from writing over the files that it reads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from detect.errors import UserError


def folder_entries(paths: Sequence[Path]) -> list[Path]:
    """Return each path with the links among its folders resolved, but not a link that it is itself.

    Paths of which this is equal name one entry of one folder: who writes one replaces the other.
    """
    real = {folder: Path(os.path.realpath(folder)) for folder in {path.parent for path in paths}}
    return [real[path.parent] / path.name for path in paths]


def require_other_files(outputs: Iterable[Path], inputs: Sequence[Path], argument: str = "--out") -> None:
    """Raise UserError if one of the files to write is one of those that are read; argument: that which names them."""
    entries, outputs = set(folder_entries(inputs)), list(outputs)
    for output, entry in zip(outputs, folder_entries(outputs), strict=True):
        if entry in entries:
            raise UserError(
                f"{output}: expected a file that this command does not read, found one of its inputs, which would be "
                f"replaced; give another {argument}"
            )
