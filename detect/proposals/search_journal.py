"""What a search has found so far, so that the same command goes on after a kill, and a data set may grow.

Beside the output lies a journal: a line of JSON with the settings, then a record for each image, appended when the
image is done. A record is the key of the image's bytes, the number of boxes, whether they lie on whole pixels, the
boxes, the scores and a checksum; one that a kill cut short is dropped. The image's name is not in it: content counts.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from detect.errors import UserError, WorkError
from detect.proposals.files import ProposalFile, Setting, check_writable, compact, read_proposals, write_proposals
from detect.system.files import remove_leftovers
from detect.types import Proposals

Boxes = NDArray[np.uint16] | NDArray[np.float32]

_HEAD = struct.Struct("<QI?")  # content key, number of boxes, whether corners are whole
_CHECKSUM = struct.Struct("<I")


@dataclass(frozen=True)
class _Place:
    """Where a record starts in the journal, how many boxes it has, and whether on whole pixels."""

    start: int
    count: int
    whole: bool


class SearchResults:
    """Proposals by the key of their image's bytes: of an earlier file of the same settings, and of the journal.

    Boxes of the journal stay on disk. Use it in a ``with``: that closes the journal.
    """

    def __init__(self, out: Path, settings: Mapping[str, Setting]) -> None:
        """UserError where ``out``, or the journal beside it, was made with other settings or is something else."""
        check_writable(out)
        remove_leftovers(out.parent, out.name, below=False)
        self.out = out
        self.settings = dict(settings)
        self.earlier = read_proposals(out) if out.exists() else None
        if self.earlier is not None:
            _require_same(out, self.earlier.settings, settings)
        contents = [] if self.earlier is None else self.earlier.contents.tolist()
        self._in_file = {content: place for place, content in enumerate(contents)}
        self._journal = out.with_name(f".{out.name}.unfinished")
        self._places: dict[int, _Place] = {}
        self._stream = self._opened()

    def __enter__(self) -> SearchResults:
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()
        if not self._places:
            self._journal.unlink(missing_ok=True)

    def __contains__(self, content: int) -> bool:
        return content in self._in_file or content in self._places

    def add(self, content: int, proposals: Proposals) -> None:
        """The proposals of one image more, handed to the system at once: a kill of this process leaves them.

        Raises WorkError.
        """
        boxes = compact(proposals.boxes.float().numpy())
        record = _HEAD.pack(content, len(boxes), boxes.dtype == np.uint16)
        record += boxes.astype(_dtype(boxes.dtype == np.uint16)).tobytes()
        record += proposals.scores.float().numpy().astype("<f4").tobytes()
        try:
            start = self._stream.seek(0, os.SEEK_END)
            self._stream.write(record + _CHECKSUM.pack(zlib.crc32(record)))
            self._stream.flush()
        except OSError as error:
            raise WorkError(
                f"{self._journal}: expected to write proposals, found: {error.strerror or error}"
            ) from error
        self._places[content] = _Place(start, len(boxes), boxes.dtype == np.uint16)

    def finish(self, images: Sequence[tuple[str, int]]) -> ProposalFile:
        """Write the file of (name, content) of each image, all of them found, and remove the journal."""
        counts = [self._count(content) for _, content in images]
        offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
        whole = all(self._whole(content) for _, content in images)
        boxes: Boxes = np.empty((offsets[-1], 4), np.uint16) if whole else np.empty((offsets[-1], 4), np.float32)
        scores = np.empty(offsets[-1], np.float32)
        for place, (_, content) in enumerate(images):
            own = slice(offsets[place], offsets[place + 1])
            boxes[own], scores[own] = self._get(content)
        contents = np.array([content for _, content in images], np.uint64)
        made = ProposalFile(tuple(name for name, _ in images), contents, offsets, boxes, scores, self.settings)
        write_proposals(self.out, made)
        self._stream.close()
        self._journal.unlink()
        return made

    def _count(self, content: int) -> int:
        if content in self._places:
            return self._places[content].count
        return len(self._get(content)[1])

    def _whole(self, content: int) -> bool:
        """Whether the boxes are known to lie on whole pixels."""
        if content in self._places:
            return self._places[content].whole
        return self.earlier is not None and self.earlier.boxes.dtype == np.uint16

    def _get(self, content: int) -> tuple[Boxes, NDArray[np.float32]]:
        if content in self._places:
            place = self._places[content]
            self._stream.seek(place.start + _HEAD.size)
            boxes = np.frombuffer(self._stream.read(_box_bytes(place)), _dtype(place.whole)).reshape(-1, 4)
            return boxes, np.frombuffer(self._stream.read(4 * place.count), "<f4")
        if self.earlier is None:
            raise KeyError(content)
        index = self._in_file[content]
        own = slice(self.earlier.offsets[index], self.earlier.offsets[index + 1])
        return self.earlier.boxes[own], self.earlier.scores[own]

    def _opened(self) -> BinaryIO:
        """The journal, its records known, without what a kill left unfinished at its end."""
        header = json.dumps({"proposals": "unfinished", "settings": self.settings}).encode() + b"\n"
        self._journal.parent.mkdir(parents=True, exist_ok=True)
        stream = self._journal.open("r+b" if self._journal.exists() else "w+b")
        try:
            first = stream.readline()
            if not first.endswith(b"\n"):
                stream.seek(0)
                stream.write(header)
                stream.truncate()
            elif first != header:
                _require_same(self._journal, _settings_of(self._journal, first), self.settings)
            stream.truncate(self._read_places(stream))
            stream.flush()
        except BaseException:
            stream.close()
            raise
        return stream

    def _read_places(self, stream: BinaryIO) -> int:
        """Know every whole record from here on; where the last of them ends."""
        start, end = stream.tell(), stream.seek(0, os.SEEK_END)
        while end - start >= _HEAD.size:
            stream.seek(start)
            head = stream.read(_HEAD.size)
            content, count, whole = _HEAD.unpack(head)
            place = _Place(start, count, whole)
            size = _box_bytes(place) + 4 * count
            if end - start < len(head) + size + _CHECKSUM.size:
                break
            body = stream.read(size)
            if stream.read(_CHECKSUM.size) != _CHECKSUM.pack(zlib.crc32(body, zlib.crc32(head))):
                break
            self._places[content] = place
            start = stream.tell()
        return start


def _dtype(whole: bool) -> str:
    return "<u2" if whole else "<f4"


def _box_bytes(place: _Place) -> int:
    return 4 * place.count * (2 if place.whole else 4)


def _settings_of(journal: Path, first_line: bytes) -> Mapping[str, Setting]:
    try:
        settings: dict[str, Setting] = json.loads(first_line)["settings"]
        return dict(settings)
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"{journal}: expected what a search has found so far, found something else; remove it"
        ) from None


def _require_same(file: Path, found: Mapping[str, Setting], wanted: Mapping[str, Setting]) -> None:
    for key in {**wanted, **found}:
        if key not in found or key not in wanted or found[key] != wanted[key]:
            raise UserError(
                f"{file}: expected proposals made with {key}={wanted.get(key, 'nothing')}, found "
                f"{found.get(key, 'nothing')}; give another --out, or remove this file"
            )
