"""What a nasty input is: how it is written, and what must happen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Nasty:
    """write: puts it into an empty folder and gives the path that is read; refused: what the one line of the error
    says beside the file's name; None where it is read.
    """

    write: Callable[[Path], Path]
    refused: str | None = None


def content(name: str, data: bytes | str) -> Callable[[Path], Path]:
    """A file of that name."""

    def write(folder: Path) -> Path:
        file = folder / name
        file.write_bytes(data.encode() if isinstance(data, str) else data)
        return file

    return write
