"""Reads and decodes the image files of a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2

from detect.data.frames import count_frames
from detect.data.images import ImageHeader, brightest_sample, read_header_and_gray
from detect.data.near_duplicates import ImageHash, image_hash
from detect.errors import UnreadableImage


@dataclass(frozen=True)
class ImageInfo:
    """The facts about an image file.

    digest: the hash of its bytes, empty if there is no file; header and perceptual_hash: None if the file cannot be
    decoded, and then unreadable_reason states why; brightest_of_16_bits: the largest sample of a dark image of 16 bits,
    0 to 65535, else None; num_frames: more than 1 for pages of a TIFF and pictures of an animation.
    """

    digest: bytes
    header: ImageHeader | None = None
    perceptual_hash: ImageHash | None = None
    unreadable_reason: str = ""
    brightest_of_16_bits: int | None = None
    num_frames: int = 1

    @property
    def missing(self) -> bool:
        """Return True if the file does not exist."""
        return self.digest == b""


def scan_image(path: Path) -> ImageInfo:
    """Decode the image as far as is needed to know that the file is complete, and return its facts."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return ImageInfo(b"", unreadable_reason="not there")
    except OSError as error:
        return ImageInfo(str(path).encode(), unreadable_reason=f"cannot be read: {error.strerror or error}")
    digest = hashlib.blake2b(content, digest_size=16).digest()
    try:
        header, gray = read_header_and_gray(path, content)
        return ImageInfo(
            digest,
            header,
            image_hash(gray),
            brightest_of_16_bits=brightest_sample(path, gray),
            num_frames=count_frames(content),
        )
    except UnreadableImage as error:
        return ImageInfo(digest, unreadable_reason=str(error).removeprefix(f"{path}: "))


def scan_images(paths: Sequence[Path], workers: int) -> Iterator[tuple[Path, ImageInfo]]:
    """Yield every path with its ImageInfo, in order.

    The work runs in threads, because decoding and hashing release Python's global interpreter lock.
    """
    cv2.setNumThreads(0)
    with ThreadPoolExecutor(workers) as pool:
        yield from zip(paths, pool.map(scan_image, paths), strict=True)
