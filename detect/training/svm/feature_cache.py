"""Features of a data set's regions on disk: computed once, read by every fit.

A folder of two files: ``features`` has the numbers of all images one after the other in fp16; ``index`` says in its
first line what they were made with, then where each image's lie, an entry an image, with a checksum of the numbers and
one of itself. An entry is written when the numbers are safe on the disk, so whatever a kill cuts off is dropped by the
next opening, and no more. The numbers of an image are held to their checksum when they are first read.
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

from detect.errors import UserError, WorkError
from detect.system.files import place_for_folder

_ENTRY = struct.Struct("<QQII")  # image's key, first row, number of rows, checksum of the numbers
_CHECKSUM = struct.Struct("<I")
_VERSION = 2
_BYTES = 2  # of a number in fp16
_GB = 1e9


def bytes_needed(images: int, regions: int, length: int) -> int:
    """What the features of so many regions, ``length`` numbers each, take on disk."""
    return _BYTES * regions * length + (_ENTRY.size + _CHECKSUM.size) * images


def require_room(folder: Path, needed: int, limit: int) -> None:
    """UserError where ``needed`` bytes pass ``limit`` (train.cache_limit), WorkError where the disk has not so many."""
    if needed > limit:
        raise UserError(
            f"train.cache_limit: expected at least {needed / _GB:.2f} GB for the features in {folder}, "
            f"found {limit / _GB:.2f} GB"
        )
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise WorkError(f"{folder}: expected {needed / _GB:.2f} GB of free disk, found {free / _GB:.2f} GB")


@dataclass(frozen=True)
class _Place:
    """Where an image's numbers lie: first row, number of rows, checksum."""

    first: int
    count: int
    checksum: int


class FeatureCache:
    """Features by image. Use it in a ``with``: that closes the files. One process writes."""

    def __init__(self, folder: Path, settings: str, length: int) -> None:
        """settings: whatever the features depend on, in words; UserError where the folder has those of others."""
        place_for_folder(folder).mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.length = length
        self._header = json.dumps({"version": _VERSION, "settings": settings, "length": length}).encode() + b"\n"
        self._places: dict[int, _Place] = {}  # by the image's key
        self._believed: set[int] = set()  # images whose numbers were held to their checksum
        self._rows = 0
        self._read_index()
        self._data, self._index = (folder / "features").open("ab"), (folder / "index").open("ab")
        self._data.truncate(self._rows * length * _BYTES)

    def __enter__(self) -> FeatureCache:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self._data.close()
        self._index.close()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, image: int) -> bool:
        return image in self._places

    def add(self, image: int, features: Tensor) -> None:
        """The features (P, length) of one image more; ``image``: a key of 64 bits that is not yet there.

        Raises WorkError for a number that fp16 does not hold, above 65504, or when the disk is full.
        """
        if image in self or features.shape[1:] != (self.length,):
            raise ValueError(f"{image}: expected a new image and features (P, {self.length}), found {features.shape}")
        numbers = features.detach().to("cpu", torch.float16)
        if not numbers.isfinite().all():
            raise WorkError(f"{self.folder}: expected features of at most 65504 for fp16, found {features.abs().max()}")
        content = numbers.contiguous().numpy().tobytes()
        place = _Place(self._rows, len(numbers), zlib.crc32(content))
        entry = _ENTRY.pack(image, place.first, place.count, place.checksum)
        try:
            self._data.write(content)
            self._data.flush()
            os.fsync(self._data.fileno())
            self._index.write(entry + _CHECKSUM.pack(zlib.crc32(entry)))
            self._index.flush()
        except OSError as error:
            raise WorkError(f"{self.folder}: expected to write features, found: {error.strerror or error}") from error
        self._places[image] = place
        self._rows += place.count

    def read(self, image: int) -> NDArray[np.float16]:
        """(P, length) of one image, mapped: only rows that are looked at are read, and once all of them.

        KeyError for an unknown image; WorkError where the numbers are not those that were written.
        """
        place = self._places[image]
        if place.count == 0 or self.length == 0:
            return np.zeros((place.count, self.length), np.float16)
        start, shape = place.first * self.length * _BYTES, (place.count, self.length)
        numbers = np.memmap(self.folder / "features", np.float16, "r", offset=start, shape=shape)
        if image not in self._believed:
            if zlib.crc32(numbers.data) != place.checksum:
                raise self._damaged(f"the features of image {image:016x} do not match their checksum")
            self._believed.add(image)
        return numbers

    def ordered(self, images: Sequence[int]) -> CachedFeatures:
        """The features of these images by their places in the list: what the fits read. WorkError where one lacks."""
        missing = sum(image not in self for image in images)
        if missing:
            raise self._damaged(f"{missing} of {len(images)} images have no features, or entries that are damaged")
        return CachedFeatures(self, images)

    def _damaged(self, found: str) -> WorkError:
        done = self.folder.parent / "stages.json"
        return WorkError(
            f"{self.folder}: damaged: {found}; remove this folder and {done}, then detect train --resume "
            f"{self.folder.parent} computes what is missing"
        )

    def _read_index(self) -> None:
        """Learn what is there, up to the first entry that is cut off or damaged, and cut the index there."""
        index, features = self.folder / "index", self.folder / "features"
        content = index.read_bytes() if index.exists() else b""
        header, newline, entries = content.partition(b"\n")
        if newline and header + newline != self._header:
            raise UserError(
                f"{self.folder}: expected features of {self._told(self._header)}, found {self._told(header)}"
            )
        if not newline:
            index.write_bytes(self._header)
            return
        room = features.stat().st_size // max(1, self.length * _BYTES) if features.exists() else 0
        good = len(self._header)
        for image, place in _entries(entries):
            if place.first != self._rows or (place.first + place.count > room and self.length):
                break
            self._places[image] = place
            self._rows += place.count
            good += _ENTRY.size + _CHECKSUM.size
        os.truncate(index, good)

    @staticmethod
    def _told(header: bytes) -> str:
        """The settings of a header, and the length of its features."""
        try:
            known = json.loads(header)
            if known["version"] != _VERSION:
                return f"version {known['version']}, not {_VERSION}"
            return f"{known['settings']} ({known['length']} numbers)"
        except (ValueError, KeyError, TypeError):
            return "something else"


class CachedFeatures:
    """Some images of a cache, in an order."""

    def __init__(self, cache: FeatureCache, images: Sequence[int]) -> None:
        self._cache = cache
        self._images = tuple(images)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, image: int) -> NDArray[np.float16]:
        return self._cache.read(self._images[image])


def _entries(content: bytes) -> Iterator[tuple[int, _Place]]:
    """Key and place of each whole entry, up to the first that its checksum denies."""
    size = _ENTRY.size + _CHECKSUM.size
    for start in range(0, len(content) - size + 1, size):
        entry = content[start : start + _ENTRY.size]
        if _CHECKSUM.unpack_from(content, start + _ENTRY.size)[0] != zlib.crc32(entry):
            return
        image, *place = _ENTRY.unpack(entry)
        yield image, _Place(*place)
