"""Finds the images to validate that are also trained on: the same files, and copies of them under other names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from detect.data.annotations import Annotations
from detect.errors import UserError
from detect.system.files import file_hash

_SAMPLE = 4096  # bytes from the middle of a file, where photos of one size differ


@dataclass(frozen=True)
class SharedImages:
    """The images of both splits.

    num_val: images to validate; num_same: those that are trained on too; copies: each other one with the bytes of an
    image to train on, and that image.
    """

    num_val: int
    num_same: int
    copies: tuple[tuple[str, str], ...]

    def notes(self) -> list[str]:
        """Return a line on each kind that there is."""
        notes = []
        if self.num_same:
            notes.append(f"splits: {self.num_same} of the {self.num_val} images to validate are also trained on")
        if self.copies:
            file, original = self.copies[0]
            counts = f"{len(self.copies)} of the {self.num_val} images to validate"
            notes.append(f"splits: {counts} are copies of images to train on, the first {file} of {original}")
        return notes


NOTHING_SHARED = SharedImages(num_val=0, num_same=0, copies=())  # near-duplicates are on one side of a split by a hash


def find_shared_images(train: Annotations, val: Annotations) -> SharedImages:
    """Return the images to validate that are also trained on.

    Only images of both splits that have one size and one sample are read to their end, so that it costs little more
    than a look at the size of each file.
    """
    train_files = [train.file(index) for index in range(len(train))]
    val_files = [val.file(index) for index in range(len(val))]
    known = set(train_files)
    others = [file for file in val_files if file not in known]
    return SharedImages(num_val=len(val), num_same=len(val) - len(others), copies=_find_copies(train_files, others))


def _find_copies(train: Sequence[str], val: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return each file of ``val`` that has the bytes of one of ``train``, with the first such one."""
    if not val:
        return ()
    facts: dict[str, object] = {}
    fact_of: Callable[[str], object]
    for fact_of in (_size, _sample, _hash):
        facts = {file: fact_of(file) for file in (*train, *val)}
        common = {facts[file] for file in train} & {facts[file] for file in val} - {None}
        train, val = ([file for file in files if facts[file] in common] for files in (train, val))
    originals = {facts[file]: file for file in reversed(train)}
    return tuple((file, originals[facts[file]]) for file in val)


def _size(file: str) -> int | None:
    """Return the number of bytes; None for an empty file, and where there is none."""
    try:
        return Path(file).stat().st_size or None
    except OSError:
        return None


def _sample(file: str) -> bytes | None:
    """Return the bytes in the middle; None for a file that cannot be read."""
    try:
        with Path(file).open("rb") as stream:
            stream.seek(max(0, stream.seek(0, 2) - _SAMPLE) // 2)
            return stream.read(_SAMPLE)
    except OSError:
        return None


def _hash(file: str) -> str | None:
    """Return a hash of all bytes; None for a file that cannot be read."""
    try:
        return file_hash(Path(file), "an image")
    except UserError:
        return None
