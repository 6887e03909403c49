"""Files written by torch.save, with a checksum of the whole file stored in the file itself.

torch.save writes a zip file, and torch.load checks none of its checksums: with a flipped byte it would silently load
different weights. The zip format ends with a comment that every reader skips; ours is a BLAKE2b digest of all bytes
before it. So ``torch.load`` and ``unzip`` still read a file with a checksum.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from detect.errors import UserError, first_line
from detect.system.files import require_file, write_bytes

_COMMENT_PREFIX = b"detect blake2b "
_DIGEST_SIZE = 16
_COMMENT_SIZE = len(_COMMENT_PREFIX) + 2 * _DIGEST_SIZE  # in hexadecimal
_CHUNK_SIZE = 1 << 20


def save_with_checksum(file: Path, content: object) -> None:
    """Save tensors and plain values with a checksum, completely or not at all. Raises RunError."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(file, append_checksum(buffer.getvalue()))


def load_with_checksum(file: Path, expected: str) -> tuple[Any, bool]:
    """Return the content, loaded to the CPU, and whether the file has a checksum.

    Without a checksum, zip's own checksums of the entries must match. Raises UserError, which names the file, if it is
    not ``expected`` or is damaged. No code stored in the file is run.
    """
    require_file(file, expected)
    matches = _checksum_matches(file)
    if matches is False:
        raise UserError(f"{file}: damaged: its content does not match its checksum")
    try:
        if matches is None:
            _check_zip_entries(file)
        return torch.load(file, map_location="cpu", weights_only=True), matches is not None
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{file}: expected {expected}, found an unreadable file ({first_line(error)})") from None


def load_only_with_checksum(file: Path, expected: str) -> Any:
    """Return the content of a file that this package alone writes: as ``load_with_checksum``, but refuse one without.

    A checksum that is damaged itself looks like none.
    """
    content, has_checksum = load_with_checksum(file, expected)
    if not has_checksum:
        raise UserError(f"{file}: damaged: expected a checksum at its end, found none")
    return content


def append_checksum(archive: bytes) -> bytes:
    """Return a zip file without a comment as the same file with its checksum as comment."""
    if archive[-2:] != bytes(2):
        raise ValueError("expected an archive that ends with a comment of length 0")
    body = archive[:-2] + _COMMENT_SIZE.to_bytes(2, "little") + _COMMENT_PREFIX
    return body + hashlib.blake2b(body, digest_size=_DIGEST_SIZE).hexdigest().encode()


def _checksum_matches(file: Path) -> bool | None:
    """Return whether the bytes match the stored checksum, or None for a file without one."""
    with file.open("rb") as stream:
        size = stream.seek(0, io.SEEK_END)
        if size < _COMMENT_SIZE:
            return None
        stream.seek(size - _COMMENT_SIZE)
        if stream.read(len(_COMMENT_PREFIX)) != _COMMENT_PREFIX:
            return None
        stored = stream.read()
        stream.seek(0)
        digest, num_bytes_left = hashlib.blake2b(digest_size=_DIGEST_SIZE), size - len(stored)
        while num_bytes_left:
            chunk = stream.read(min(_CHUNK_SIZE, num_bytes_left))
            digest.update(chunk)
            num_bytes_left -= len(chunk)
    return stored == digest.hexdigest().encode()


def _check_zip_entries(file: Path) -> None:
    """Raise UserError if an entry of the archive does not match the checksum that zip stores for it."""
    with zipfile.ZipFile(file) as archive:
        broken = archive.testzip()
    if broken is not None:
        raise UserError(f"{file}: damaged: {broken} does not match its checksum")
