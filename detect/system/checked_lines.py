"""Lines of text with a checksum each, for files that are appended to: a damaged line is recognized, not believed."""

from __future__ import annotations

import zlib


def checked_line(content: str) -> str:
    """Return a line with its end: eight digits of CRC-32, a space, the content, which has no line break."""
    return f"{zlib.crc32(content.encode()):08x} {content}\n"


def line_content(line: str) -> str | None:
    """Return the content of a line without its end; None where its checksum does not match."""
    content = line[9:]
    return content if checked_line(content) == f"{line}\n" else None
