"""Files of torch.save with a checksum of the whole, kept in the file itself.

torch.save writes a zip file, and torch.load looks at none of its checksums: a flipped byte would load as other weights.
The zip format ends with a comment that every reader skips; ours is a BLAKE2b digest of all bytes before it, so a sealed
file stays one that ``torch.load`` and ``unzip`` read.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from detect.errors import UserError
from detect.system.files import existing_file, write_bytes

_MARK = b"detect blake2b "
_DIGEST_SIZE = 16
_COMMENT_SIZE = len(_MARK) + 2 * _DIGEST_SIZE  # in hexadecimal
_CHUNK = 1 << 20


def write_sealed(file: Path, content: object) -> None:
    """Tensors and plain values, whole or not at all. Raises WorkError."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(file, sealed(buffer.getvalue()))


def read_sealed(file: Path, what: str) -> tuple[Any, bool]:
    """The content, on the CPU, and whether it had a seal; without one the archive's checksums of its parts must hold.

    UserError names the file where it is not ``what`` is expected, or damaged. No code in it is run.
    """
    existing_file(file, what)
    holds = _seal_holds(file)
    if holds is False:
        raise UserError(f"{file}: damaged: its content does not match its checksum")
    try:
        if holds is None:
            _check_parts(file)
        return torch.load(file, map_location="cpu", weights_only=True), holds is not None
    except UserError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{file}: expected {what}, found an unreadable file ({reason})") from None


def sealed(archive: bytes) -> bytes:
    """A zip file without a comment -> the same with its seal."""
    if archive[-2:] != bytes(2):
        raise ValueError("expected an archive that ends with a comment of length 0")
    body = archive[:-2] + _COMMENT_SIZE.to_bytes(2, "little") + _MARK
    return body + hashlib.blake2b(body, digest_size=_DIGEST_SIZE).hexdigest().encode()


def _seal_holds(file: Path) -> bool | None:
    """Whether the bytes are those that were sealed; None for a file without a seal."""
    with file.open("rb") as stream:
        size = stream.seek(0, io.SEEK_END)
        if size < _COMMENT_SIZE:
            return None
        stream.seek(size - _COMMENT_SIZE)
        if stream.read(len(_MARK)) != _MARK:
            return None
        kept = stream.read()
        stream.seek(0)
        digest, left = hashlib.blake2b(digest_size=_DIGEST_SIZE), size - len(kept)
        while left:
            chunk = stream.read(min(_CHUNK, left))
            digest.update(chunk)
            left -= len(chunk)
    return kept == digest.hexdigest().encode()


def _check_parts(file: Path) -> None:
    """UserError where a part of the archive does not match the checksum that zip keeps of it."""
    with zipfile.ZipFile(file) as archive:
        broken = archive.testzip()
    if broken is not None:
        raise UserError(f"{file}: damaged: {broken} does not match its checksum")
