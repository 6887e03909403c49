"""Files written whole or not at all, and paths that are checked before use."""

from __future__ import annotations

import glob
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from detect.errors import UserError, WorkError, nearest

_ASIDE = ".aside"  # how the name of a file ends while it is written


def write_bytes(path: Path, content: bytes) -> None:
    """Write aside, flush, sync and rename: a kill at any moment leaves the old file or the new one, never a part.

    Raises WorkError with the system's reason where that fails, a full disk above all.
    """
    try:
        _write_aside(path, content)
    except OSError as error:
        raise _not_written(path, len(content), error) from error


def append_text(path: Path, text: str) -> None:
    """Add to the end of a file in UTF-8 and sync: what is there stays, a kill may leave a part of ``text``.

    Raises WorkError with the system's reason where that fails.
    """
    content = text.encode()
    try:
        with path.open("ab") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise _not_written(path, len(content), error) from error


def whole_lines(path: Path) -> list[str]:
    """The lines of a file that ``append_text`` wrote, without one that a kill cut short; none where there is no file.

    What is no text is replaced, so that a damaged line can be told and left out.
    """
    return path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1] if path.exists() else []


def remove_leftovers(folder: Path, name: str = "*", below: bool = True) -> None:
    """Remove what kills left of files of a name written aside, in ``folder`` and where asked below it.

    Only for places where no one else writes now.
    """
    pattern = f".{glob.escape(name) if name != '*' else name}.*{_ASIDE}"
    for left in folder.rglob(pattern) if below else folder.glob(pattern):
        left.unlink(missing_ok=True)


def is_leftover(path: Path) -> bool:
    """Whether a kill left this of a file written aside."""
    return path.name.startswith(".") and path.name.endswith(_ASIDE)


def _write_aside(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_ASIDE, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(aside).chmod(0o666 & ~_umask())
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_text(path: Path, content: str) -> None:
    """``write_bytes`` in UTF-8."""
    write_bytes(path, content.encode())


def told_size(count: float) -> str:
    """A number of bytes, in the largest unit that leaves a whole number before the point."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def read_text(path: Path, what: str) -> str:
    """The text of a file in UTF-8, with or without a byte order mark; a UserError says what was expected there."""
    try:
        return existing_file(path, what).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: expected text in UTF-8, found byte {error.object[error.start]:#x}") from None


def text_lines(path: Path) -> list[str]:
    """The lines of ``read_text``."""
    return read_text(path, "a text").splitlines()


def read_json_file(path: Path, what: str) -> Any:
    """The value of a JSON file in UTF-8 or UTF-16; a UserError says what was expected there."""
    try:
        return json.loads(existing_file(path, what).read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: expected {what}, found damaged JSON: {error}") from error


def existing_file(path: Path, what: str) -> Path:
    """The path itself, or a UserError that says what was expected there."""
    try:
        if path.is_file():
            return path
        if path.is_dir():
            raise UserError(f"{path}: expected {what}, found a folder")
        if path.exists():  # a pipe would keep its reader waiting
            raise UserError(f"{path}: expected {what}, found a pipe or a device")
        raise UserError(f"{path}: expected {what}, found nothing{neighbour(path)}")
    except OSError as error:  # a name too long, a folder that may not be entered
        raise UserError(f"{path}: expected {what}, found: {error.strerror}") from error


def existing_folder(path: Path, what: str) -> Path:
    """The path itself, or a UserError that says what was expected there."""
    if path.is_file():
        raise UserError(f"{path}: expected {what}, found a file")
    if not path.is_dir():
        raise UserError(f"{path}: expected {what}, found nothing{neighbour(path)}")
    return path


def neighbour(path: Path) -> str:
    """A hint at a name like ``path``'s beside it, or at the first parent that is missing."""
    for parent in path.parents:
        if parent.is_dir():
            missing = path.relative_to(parent).parts[0]
            hint = nearest(missing, (entry.name for entry in parent.iterdir()))
            return hint or (f" ({parent} has no {missing})" if missing != path.name else "")
    return ""


def place_for_file(path: Path) -> Path:
    """The path itself, or a UserError where no file can be written: to be asked before long work."""
    if path.is_dir():
        raise UserError(f"{path}: expected a file to write, found a folder")
    place_for_folder(path.parent)
    return path


def place_for_folder(path: Path) -> Path:
    """The path itself, or a UserError where no folder can be made and written in."""
    there = next(place for place in (path, *path.parents) if os.path.lexists(place))
    if not there.is_dir():
        found = "a file" if there == path else f"the file {there} in the way"
        raise UserError(f"{path}: expected a folder to write in, found {found}")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"{path}: expected a folder to write in, found no right to write in {there}")
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, safe from a loss of power; only POSIX can open a folder."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_below(folder: Path) -> None:
    """``sync`` of everything in a folder, which is then safe to take the name of a whole one."""
    for path in (*folder.rglob("*"), folder):
        if not path.is_symlink():
            sync(path)


def _not_written(path: Path, size: int, error: OSError) -> WorkError:
    return WorkError(f"{path}: expected to write {size} bytes, found: {error.strerror or error}")
