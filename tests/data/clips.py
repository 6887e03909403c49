"""Videos for tests: a few frames of flat colors, and .mp4 files that are changed byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

_PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts")


def write_clip(file: Path, frames: Sequence[np.ndarray], rate: float = 10.0) -> Path:
    """Write frames (H, W, 3) uint8 RGB with even sides; a .mp4 as MPEG-4 Part 2, an .avi as JPEGs."""
    codec = cv2.VideoWriter.fourcc(*("mp4v" if file.suffix == ".mp4" else "MJPG"))
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(file), cv2.CAP_FFMPEG, codec, rate, (width, height))
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return file


def gray_frames(count: int, size: tuple[int, int] = (48, 64)) -> list[np.ndarray]:
    """Frames whose gray tells their number: 10, 20, ...; the left half is brighter by 60."""
    frames = [np.full((*size, 3), 10 * (i + 1), np.uint8) for i in range(count)]
    for frame in frames:
        frame[:, : size[1] // 2] += 60
    return frames


def turned(file: Path) -> Path:
    """The same .mp4 with a display matrix that turns it clockwise by a quarter (ISO/IEC 14496-12, section 8.3.2)."""
    content = file.read_bytes()
    matrix = content.find(b"tkhd") + 4 + 40
    quarter = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    path = file.with_name(f"turned-{file.name}")
    path.write_bytes(content[:matrix] + quarter + content[matrix + 36 :])
    return path


def of_two_rates(file: Path, first: int) -> Path:
    """The same .mp4, whose frames after the ``first`` ones last half as long (section 8.6.1.2, ``stts``)."""
    content = bytearray(file.read_bytes())
    for name in _PARENTS:  # the times stand behind the pixels, so that no offset changes
        box = content.find(name) - 4
        (length,) = struct.unpack_from(">I", content, box)
        struct.pack_into(">I", content, box, length + 8)
    table = content.find(b"stts") + 8
    entries, count, delta = struct.unpack_from(">3I", content, table)
    assert (entries, content.find(b"mdat") < table) == (1, True)
    content[table : table + 12] = struct.pack(">5I", 2, first, delta, count - first, delta // 2)
    path = file.with_name(f"rates-{file.name}")
    path.write_bytes(content)
    return path
