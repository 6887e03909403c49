"""The checksum of a whole part, in the metadata near its end.

The checksums of Parquet are of the contents of pages, and not of their headers or of the metadata: of the 37,320 bits
of a part with three photos, 523 could be flipped so that other rows were read without an error (counted once, by a
script that is not kept). This one covers all.
"""

from __future__ import annotations

import hashlib
import re

CHECKSUM = b"detect.checksum"
PLACEHOLDER = b"0" * 32
# The entry as Thrift writes it: a length before the key and the value, a zero after them. No text of a user matches:
# the classes are JSON, where a control character is escaped, and the statistics with addresses come before the entry.
_ENTRY = re.compile(rb"\x18\x0fdetect\.checksum\x18\x20([0-9a-f]{32})\x00")


class PartChecksumError(ValueError):
    """A part that is not as it was written, or a file without a checksum."""


def insert_checksum(content: bytes) -> bytes:
    """Return a Parquet file with its checksum where its metadata has the placeholder."""
    start, end = _span(content)
    view = memoryview(content)
    return b"".join((view[:start], _checksum(view, start, end), view[end:]))


def verify_checksum(content: bytes) -> None:
    """Raise PartChecksumError if a byte of the file differs from what was written."""
    start, end = _span(content)
    if content[start:end] != _checksum(memoryview(content), start, end):
        raise PartChecksumError("its bytes do not match its checksum; it is damaged, or another program rewrote it")


def _span(content: bytes) -> tuple[int, int]:
    """Return where the checksum stands, the last match."""
    spans = [match.span(1) for match in _ENTRY.finditer(content)]
    if not spans:
        raise PartChecksumError(f"it has no {CHECKSUM.decode()} in its metadata")
    return spans[-1]


def _checksum(view: memoryview, start: int, end: int) -> bytes:
    checksum = hashlib.blake2b(view[:start], digest_size=len(PLACEHOLDER) // 2)
    checksum.update(view[end:])
    return checksum.hexdigest().encode()
