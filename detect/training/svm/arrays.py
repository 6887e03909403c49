"""Write and read NumPy arrays by name in an ``.npz``, the file format of the fits."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detect.errors import UserError
from detect.system.files import require_file, write_bytes

Array = NDArray[Any]


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write NumPy arrays by name, completely or not at all. Raises RunError."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    write_bytes(path, content.getvalue())


def read_arrays(path: Path, description: str, names: Sequence[str]) -> list[Array]:
    """Return the arrays of these names; raise UserError if the file is not what ``description`` says."""
    require_file(path, description)
    try:
        # The file is opened here because NumPy leaves its own stream open on a damaged archive.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return [archive[name] for name in names]
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: expected {description}, found: {error}") from error
