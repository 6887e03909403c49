"""Arrays in an ``.npz``: how the fits keep what they have."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detect.errors import UserError
from detect.system.files import existing_file, write_bytes

Array = NDArray[Any]


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write NumPy arrays by name, whole or not at all. Raises WorkError."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    write_bytes(path, content.getvalue())


def read_arrays(path: Path, what: str, names: Sequence[str]) -> list[Array]:
    """The arrays of these names; UserError where the file is not ``what`` is expected."""
    existing_file(path, what)
    try:
        # Opened here: of a damaged archive NumPy would leave its own stream open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return [stored[name] for name in names]
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: expected {what}, found: {error}") from error
