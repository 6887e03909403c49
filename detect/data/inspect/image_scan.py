"""What the image files themselves are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2

from detect.data.images import ImageHeader, UnreadableImage, read_header, read_reduced_grey
from detect.data.near_duplicates import Likeness, likeness


@dataclass(frozen=True)
class Look:
    """An image file: header and likeness are None, and flaw says why, where it cannot be decoded.

    digest: of its bytes, empty where there is no file.
    """

    digest: bytes
    header: ImageHeader | None = None
    likeness: Likeness | None = None
    flaw: str = ""

    @property
    def missing(self) -> bool:
        """Whether there is no file."""
        return self.digest == b""


def look(path: Path) -> Look:
    """Decode the image as far as to see that it is whole."""
    try:
        digest = hashlib.blake2b(path.read_bytes(), digest_size=16).digest()
    except FileNotFoundError:
        return Look(b"", flaw="not there")
    except OSError as error:
        return Look(str(path).encode(), flaw=f"cannot be read: {error.strerror or error}")
    try:
        return Look(digest, read_header(path), likeness(read_reduced_grey(path)))
    except UnreadableImage as error:
        return Look(digest, flaw=str(error).removeprefix(f"{path}: "))


def look_at_all(paths: Sequence[Path], workers: int) -> Iterator[tuple[Path, Look]]:
    """Every image's path and look, in order. Threads, as decoding and hashing let go of Python's lock."""
    cv2.setNumThreads(0)
    with ThreadPoolExecutor(workers) as pool:
        yield from zip(paths, pool.map(look, paths), strict=True)
