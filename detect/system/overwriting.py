"""Keeps a command from writing over the files that it reads."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from detect.errors import UserError


def folder_entry(path: Path) -> Path:
    """Return the path with the links among its folders resolved, but not a link that it is itself.

    Paths of which this is equal name one entry of one folder: who writes one replaces the other.
    """
    return Path(os.path.realpath(path.parent)) / path.name


def is_below(path: Path, folder: Path) -> bool:
    """Return whether a path lies in a folder or deeper, and is not the folder itself; neither needs to exist."""
    return Path(os.path.realpath(folder)) in folder_entry(path).parents


def require_other_files(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise UserError if one of the files to write is one of those that are read."""
    entries = set(map(folder_entry, inputs))
    for output in outputs:
        if folder_entry(output) in entries:
            raise UserError(
                f"{output}: expected a file that this command does not read, found one of its inputs, which would be "
                "replaced; give another --out"
            )
