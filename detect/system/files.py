"""Files that are written completely or not at all, and paths that are checked before use."""

from __future__ import annotations

import codecs
import glob
import hashlib
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from detect.errors import RunError, UserError, did_you_mean
from detect.system.numbers import format_number

_TEMP_SUFFIX = ".aside"  # the end of a file's name while it is written
_MAX_NAME = 255  # bytes: of a file's name on ext4, XFS, Btrfs and ZFS; APFS and NTFS count characters
_TEMP_LENGTH = 24  # bytes: two dots, the random letters of mkstemp and the suffix, rounded up


def write_bytes(path: Path, content: bytes) -> None:
    """Write a temporary file, flush, sync and rename it: a kill at any moment leaves the old or the new file, never a
    part.

    Raises RunError with the system's reason if that fails, above all for a full disk.
    """
    try:
        _write_and_rename(path, content)
    except OSError as error:
        raise _write_error(path, len(content), error) from error


def append_text(path: Path, text: str) -> None:
    """Append text in UTF-8 to a file and sync it: earlier content stays, a kill may leave a part of ``text``.

    Raises RunError with the system's reason if that fails.
    """
    content = text.encode()
    try:
        with path.open("ab") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise _write_error(path, len(content), error) from error


def complete_lines(path: Path) -> list[str]:
    """Return the lines of a file that ``append_text`` wrote, without a last line that a kill cut short; [] without a
    file.

    Bytes that are not UTF-8 are replaced, so that the caller can recognize and skip a damaged line.
    """
    return path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1] if path.exists() else []


def remove_temp_files(folder: Path, name: str = "*", recursive: bool = True) -> None:
    """Remove temporary files that killed writes of ``name`` left in ``folder`` and, if ``recursive``, below it.

    Call it only where no other process is writing.
    """
    prefix = ".*." if name == "*" else glob.escape(_temp_prefix(name))
    pattern = f"{prefix}*{_TEMP_SUFFIX}"
    for temp_file in folder.rglob(pattern) if recursive else folder.glob(pattern):
        temp_file.unlink(missing_ok=True)


def is_temp_file(path: Path) -> bool:
    """Return whether this is a temporary file that a killed write left."""
    return path.name.startswith(".") and path.name.endswith(_TEMP_SUFFIX)


def fit_name(name: str, suffix: str = "") -> str:
    """Return ``name`` + ``suffix`` as a file name that a file system accepts.

    One of more than 255 bytes keeps its beginning and the suffix; between them, ~ and 64 bits of the hash of the whole
    name make it unique.
    """
    return _shorten_name(name, _MAX_NAME - len(suffix.encode())) + suffix


def _shorten_name(name: str, max_length: int) -> str:
    """Return a name of at most so many bytes in UTF-8."""
    content = os.fsencode(name)
    if len(content) <= max_length:
        return name
    end = f"~{hashlib.blake2b(content, digest_size=8).hexdigest()}"
    return content[: max_length - len(end)].decode(errors="ignore") + end


def _temp_prefix(name: str) -> str:
    """Return the beginning of the names of the temporary files for a file's name."""
    return f".{_shorten_name(name, _MAX_NAME - _TEMP_LENGTH)}."


def _write_and_rename(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temp_path = tempfile.mkstemp(prefix=_temp_prefix(path.name), suffix=_TEMP_SUFFIX, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temp_path).chmod(0o666 & ~_umask())
        Path(temp_path).replace(path)
    except BaseException:
        Path(temp_path).unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_text(path: Path, content: str) -> None:
    """Write text in UTF-8 as ``write_bytes`` does."""
    write_bytes(path, content.encode())


def format_bytes(num_bytes: float) -> str:
    """Return a number of bytes as text with three digits, in bytes, kB, MB or GB."""
    for unit in ("bytes", "kB", "MB"):
        if num_bytes < 999.5:
            return f"{format_number(num_bytes)} {unit}"
        num_bytes /= 1000
    return f"{format_number(num_bytes)} GB"


def read_text(path: Path, expected: str) -> str:
    """Return the text of a file in UTF-8, with or without byte order mark, or in UTF-16 with one.

    Raises UserError if it is not ``expected``.
    """
    content = require_file(path, expected).read_bytes()
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return io.TextIOWrapper(io.BytesIO(content), encoding).read()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: expected text in UTF-8, found byte {error.object[error.start]:#x}") from None


def text_lines(path: Path) -> list[str]:
    """Return the lines of a UTF-8 file as ``read_text`` reads it."""
    return read_text(path, "a text").splitlines()


def read_json_file(path: Path, expected: str) -> Any:
    """Return the value of a JSON file in UTF-8 or UTF-16; UserError if it is not ``expected``."""
    try:
        return json.loads(require_file(path, expected).read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: expected {expected}, found damaged JSON: {error}") from error


def require_file(path: Path, expected: str) -> Path:
    """Return the path itself; UserError, which names what was ``expected``, if it is no file."""
    try:
        if path.is_file():
            return path
        if path.is_dir():
            raise UserError(f"{path}: expected {expected}, found a folder")
        if path.exists():  # a pipe would keep its reader waiting
            raise UserError(f"{path}: expected {expected}, found a pipe or a device")
        raise UserError(f"{path}: expected {expected}, found {_describe_missing(path)}")
    except OSError as error:  # a name too long, a folder that may not be entered
        raise UserError(f"{path}: expected {expected}, found: {error.strerror}") from error


def file_hash(path: Path, expected: str) -> str:
    """Return a hash of the bytes of a file, 16 characters. Raises UserError, which names what was ``expected``."""
    try:
        with require_file(path, expected).open("rb") as stream:
            return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=8)).hexdigest()
    except OSError as error:
        raise UserError(f"{path}: expected {expected}, found: {error.strerror}") from error


def require_folder(path: Path, expected: str) -> Path:
    """Return the path itself; UserError, which names what was ``expected``, if it is no folder."""
    if path.is_file():
        raise UserError(f"{path}: expected {expected}, found a file")
    if not path.is_dir():
        raise UserError(f"{path}: expected {expected}, found {_describe_missing(path)}")
    return path


def _describe_missing(path: Path) -> str:
    """Return what there is where no file is: a link that leads nowhere, or nothing, with a similar name."""
    if path.is_symlink():
        return f"a link to {path.readlink()}, which does not exist"
    return f"nothing{suggest_path(path)}"


def suggest_path(path: Path) -> str:
    """Return a hint at a similar name in the same folder or at the first missing parent, or "" without either."""
    for parent in path.parents:
        if parent.is_dir():
            missing = path.relative_to(parent).parts[0]
            hint = did_you_mean(missing, (entry.name for entry in parent.iterdir()))
            return hint or (f" ({parent} has no {missing})" if missing != path.name else "")
    return ""


def require_writable_file(path: Path) -> Path:
    """Return the path itself; UserError if a file cannot be written there. Call it before long work."""
    if path.is_dir():
        raise UserError(f"{path}: expected a file to write, found a folder")
    require_writable_folder(path.parent)
    return path


def require_writable_folder(path: Path) -> Path:
    """Return the path itself; UserError if a folder cannot be created or written there."""
    existing = next(parent for parent in (path, *path.parents) if os.path.lexists(parent))
    if not existing.is_dir():
        obstacle = "a file" if existing == path else f"the file {existing} in the way"
        raise UserError(f"{path}: expected a folder to write in, found {obstacle}")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"{path}: expected a folder to write in, found no permission to write in {existing}")
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sync(path: Path) -> None:
    """Flush a file, or a folder's entries, to disk so that they survive a power loss; only POSIX can sync folders."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_below(folder: Path) -> None:
    """Flush a folder and everything in it to disk, before it is renamed to its final name."""
    for path in (*folder.rglob("*"), folder):
        if not path.is_symlink():
            sync(path)


def _write_error(path: Path, size: int, error: OSError) -> RunError:
    return RunError(f"{path}: expected to write {size} bytes, found: {error.strerror or error}")
