"""A cache on disk of the features of a data set's regions: computed once, read by every fit.

The cache is a folder of two files. ``features`` has the numbers of all images one after the other in fp16. ``index``
starts with a line that names the settings of the features, followed by an entry for each image: where its numbers are,
a checksum of the numbers and a checksum of the entry. An entry is written after its numbers are synced to the disk, so
the next opening drops only what a kill cut off. The numbers of an image are verified when they are first read.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from detect.errors import RunError, UserError
from detect.system.files import require_writable_folder

_ENTRY_STRUCT = struct.Struct("<QQII")  # key of the image, first row, number of rows, checksum of the numbers
_CHECKSUM = struct.Struct("<I")
_VERSION = 2
_BYTES = 2  # of a number in fp16
_GB = 1e9


def bytes_needed(num_images: int, num_regions: int, length: int) -> int:
    """Return the bytes on disk of the features of these images and regions, ``length`` numbers per region."""
    return _BYTES * num_regions * length + (_ENTRY_STRUCT.size + _CHECKSUM.size) * num_images


def require_disk_space(folder: Path, needed: int, limit: int) -> None:
    """Raise UserError if ``needed`` bytes exceed ``limit``, RunError if the disk has less free space."""
    if needed > limit:
        raise UserError(
            f"train.feature_cache_gb: expected at least {needed / _GB:.2f} GB for the features in {folder}, "
            f"found {limit / _GB:.2f} GB"
        )
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise RunError(f"{folder}: expected {needed / _GB:.2f} GB of free disk, found {free / _GB:.2f} GB")


@dataclass(frozen=True)
class _Entry:
    """The location of an image's numbers: first row, number of rows, checksum."""

    first: int
    count: int
    checksum: int


class FeatureCache:
    """The features by image; a context manager that closes the files. Only one process may write."""

    def __init__(self, folder: Path, settings: str, length: int) -> None:
        """Open or create the cache in ``folder``, for features of ``length`` numbers.

        settings: a text that names everything the features depend on; UserError if the folder has features of others.
        """
        require_writable_folder(folder).mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.length = length
        self._header = json.dumps({"version": _VERSION, "settings": settings, "length": length}).encode() + b"\n"
        self._index_entries: dict[int, _Entry] = {}  # by the key of the image
        self._verified: set[int] = set()  # images whose numbers match their checksum
        self._rows = 0
        self._read_index()
        self._data, self._index = (folder / "features").open("ab"), (folder / "index").open("ab")
        self._data.truncate(self._rows * length * _BYTES)

    def __enter__(self) -> FeatureCache:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the two files of the cache."""
        self._data.close()
        self._index.close()

    def __len__(self) -> int:
        return len(self._index_entries)

    def __contains__(self, image: int) -> bool:
        return image in self._index_entries

    def add(self, image: int, features: Tensor) -> None:
        """Add the features (P, length) of an image; ``image``: a key of 64 bits that is not in the cache yet.

        Raises RunError for a number that fp16 cannot represent, above 65504, or if the disk is full.
        """
        if image in self or features.shape[1:] != (self.length,):
            raise ValueError(f"{image}: expected a new image and features (P, {self.length}), found {features.shape}")
        numbers = features.detach().to("cpu", torch.float16)
        if not numbers.isfinite().all():
            raise RunError(f"{self.folder}: expected features of at most 65504 for fp16, found {features.abs().max()}")
        content = numbers.contiguous().numpy().tobytes()
        entry = _Entry(first=self._rows, count=len(numbers), checksum=zlib.crc32(content))
        packed = _ENTRY_STRUCT.pack(image, entry.first, entry.count, entry.checksum)
        try:
            self._data.write(content)
            self._data.flush()
            os.fsync(self._data.fileno())
            self._index.write(packed + _CHECKSUM.pack(zlib.crc32(packed)))
            self._index.flush()
        except OSError as error:
            raise RunError(f"{self.folder}: expected to write features, found: {error.strerror or error}") from error
        self._index_entries[image] = entry
        self._rows += entry.count

    def read(self, image: int) -> NDArray[np.float16]:
        """Return the features (P, length) of an image as a memory map, which reads only the rows that are used.

        The first call reads all rows to verify them. Raises KeyError for an unknown image, RunError if the numbers do
        not match their checksum.
        """
        entry = self._index_entries[image]
        if entry.count == 0 or self.length == 0:
            return np.zeros((entry.count, self.length), np.float16)
        start, shape = entry.first * self.length * _BYTES, (entry.count, self.length)
        numbers = np.memmap(self.folder / "features", np.float16, "r", offset=start, shape=shape)
        if image not in self._verified:
            if zlib.crc32(numbers.data) != entry.checksum:
                raise self._damaged(f"the features of image {image:016x} do not match their checksum")
            self._verified.add(image)
        return numbers

    def for_images(self, images: Sequence[int]) -> CachedFeatures:
        """Return the features of these images by their index in the list; raise RunError if one is missing."""
        missing = sum(image not in self for image in images)
        if missing:
            raise self._damaged(f"{missing} of {len(images)} images have no features, or entries that are damaged")
        return CachedFeatures(self, images)

    def _damaged(self, problem: str) -> RunError:
        done = self.folder.parent / "stages.json"
        return RunError(
            f"{self.folder}: damaged: {problem}; remove this folder and {done}, then detect train --resume "
            f"{self.folder.parent} computes what is missing"
        )

    def _read_index(self) -> None:
        """Read the index up to the first entry that is incomplete or damaged, and truncate the file there."""
        index, features = self.folder / "index", self.folder / "features"
        content = index.read_bytes() if index.exists() else b""
        header, newline, entries = content.partition(b"\n")
        if newline and header + newline != self._header:
            expected, actual = (self._describe_header(line) for line in (self._header, header))
            raise UserError(f"{self.folder}: expected features of {expected}, found {actual}")
        if not newline:
            index.write_bytes(self._header)
            return
        num_rows = features.stat().st_size // max(1, self.length * _BYTES) if features.exists() else 0
        valid_bytes = len(self._header)
        for image, entry in _parse_entries(entries):
            if entry.first != self._rows or (entry.first + entry.count > num_rows and self.length):
                break
            self._index_entries[image] = entry
            self._rows += entry.count
            valid_bytes += _ENTRY_STRUCT.size + _CHECKSUM.size
        os.truncate(index, valid_bytes)

    @staticmethod
    def _describe_header(header: bytes) -> str:
        """Return the settings in a header and the length of its features, for a message."""
        try:
            fields = json.loads(header)
            if fields["version"] != _VERSION:
                return f"version {fields['version']}, not {_VERSION}"
            return f"{fields['settings']} ({fields['length']} numbers)"
        except (ValueError, KeyError, TypeError):
            return "something else"


class CachedFeatures:
    """The features of some images of a cache, in a given order."""

    def __init__(self, cache: FeatureCache, images: Sequence[int]) -> None:
        self._cache = cache
        self._images = tuple(images)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, image: int) -> NDArray[np.float16]:
        return self._cache.read(self._images[image])


def _parse_entries(content: bytes) -> Iterator[tuple[int, _Entry]]:
    """Yield the key and the location of each entry, up to the first that does not match its checksum."""
    size = _ENTRY_STRUCT.size + _CHECKSUM.size
    for start in range(0, len(content) - size + 1, size):
        packed = content[start : start + _ENTRY_STRUCT.size]
        if _CHECKSUM.unpack_from(content, start + _ENTRY_STRUCT.size)[0] != zlib.crc32(packed):
            return
        image, first, count, checksum = _ENTRY_STRUCT.unpack(packed)
        yield image, _Entry(first=first, count=count, checksum=checksum)
