"""The digest of a whole part, in the metadata at its end.

The checksums of Parquet are of the contents of pages, and not of their headers or of the metadata: of the 37,320 bits
of a part with three photos, 523 could be flipped so that other rows were read without an error. The digest covers all.
"""

from __future__ import annotations

import hashlib
import re

DIGEST = b"detect.digest"
PLACEHOLDER = b"0" * 32
_VALUE = re.compile(re.escape(DIGEST) + rb"..([0-9a-f]{32})", re.DOTALL)  # between them: type and length of the value


class PartDigestError(ValueError):
    """A part that is not as it was written, or a file without a digest."""


def insert_digest(content: bytes) -> bytes:
    """Return a Parquet file with its digest where its metadata has the placeholder."""
    start, end = _value_span(content)
    return content[:start] + _digest(content, start, end) + content[end:]


def check_digest(content: bytes) -> None:
    """Raise PartDigestError if a byte of the file differs from what was written."""
    start, end = _value_span(content)
    if content[start:end] != _digest(content, start, end):
        raise PartDigestError("its bytes do not match its digest")


def _value_span(content: bytes) -> tuple[int, int]:
    """Return where the digest stands: the last such entry, as the metadata of a Parquet file is at its end."""
    spans = [match.span(1) for match in _VALUE.finditer(content)]
    if not spans:
        raise PartDigestError(f"it has no {DIGEST.decode()} in its metadata")
    return spans[-1]


def _digest(content: bytes, start: int, end: int) -> bytes:
    digest = hashlib.blake2b(content[:start], digest_size=len(PLACEHOLDER) // 2)
    digest.update(content[end:])
    return digest.hexdigest().encode()
