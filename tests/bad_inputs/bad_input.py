"""Defines a bad input: how it is written, and the expected error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class BadInput:
    """A file that may not be readable.

    write: writes it into an empty folder and returns the path to read; error: a pattern of the expected one-line error,
    besides the file's name; None if the file must be read.
    """

    write: Callable[[Path], Path]
    error: str | None = None


def write_file(name: str, content: bytes | str) -> Callable[[Path], Path]:
    """Return a function that writes a file with that name and content."""

    def write(folder: Path) -> Path:
        file = folder / name
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    return write
