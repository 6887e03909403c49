"""Whether a JPEG file is whole."""

from __future__ import annotations

_START_OF_SCAN = 0xDA
_END_OF_IMAGE = b"\xff\xd9"


def is_whole(content: bytes) -> bool:
    """True where an end marker follows the first scan; False where it is missing or the markers do not chain.

    The headers are walked by their lengths, as an embedded thumbnail has an end marker too. Within a scan 0xFF is
    always followed by a stuffed 0x00 or a restart marker, so the end marker cannot occur by chance (ITU T.81,
    B.1.1.5).
    """
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        if marker == _START_OF_SCAN:
            return content.find(_END_OF_IMAGE, at) >= 0
    return False
