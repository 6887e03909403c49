"""The journal of a search, so that the same command resumes after a kill, and a data set may grow.

The journal is in the output's folder: a line of JSON with the settings, then a record per image, appended when the
image is done. A record is the hash of the image's bytes, the number of boxes, whether they lie on whole pixels, the
boxes, the scores and a checksum. A record that a kill cut short is dropped. The image's name is not stored: only its
content counts.
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

from detect.errors import RunError, UserError
from detect.proposals.files import (
    ProposalFile,
    Setting,
    compact_boxes,
    read_proposals,
    require_writable_npz,
    write_proposals,
)
from detect.system.files import remove_temp_files
from detect.types import Proposals

Boxes = NDArray[np.uint16] | NDArray[np.float32]

_RECORD_HEADER = struct.Struct("<QI?")  # content hash, number of boxes, whether corners are whole
_CHECKSUM = struct.Struct("<I")


@dataclass(frozen=True)
class _Record:
    """The offset of a record in the journal, its number of boxes, and whether they lie on whole pixels."""

    start: int
    num_boxes: int
    is_whole: bool


class ProposalJournal:
    """Proposals by content hash, from an earlier file with the same settings and from the journal.

    Boxes of the journal stay on disk. Use it in a ``with`` statement, which closes the journal.
    """

    def __init__(self, out: Path, settings: Mapping[str, Setting]) -> None:
        """Open both; UserError if ``out`` or its journal was made with other settings or is something else."""
        require_writable_npz(out)
        remove_temp_files(out.parent, out.name, recursive=False)
        self.out = out
        self.settings = dict(settings)
        self.earlier = read_proposals(out) if out.exists() else None
        if self.earlier is not None:
            _require_same_settings(out, self.earlier.settings, settings)
        hashes = [] if self.earlier is None else self.earlier.content_hashes.tolist()
        self._index_in_file = {image_hash: index for index, image_hash in enumerate(hashes)}
        self._journal = out.with_name(f".{out.name}.unfinished")
        self._records: dict[int, _Record] = {}
        self._stream = self._open_journal()

    def __enter__(self) -> ProposalJournal:
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()
        if not self._records:
            self._journal.unlink(missing_ok=True)

    def __contains__(self, image_hash: int) -> bool:
        return image_hash in self._index_in_file or image_hash in self._records

    def add(self, image_hash: int, proposals: Proposals) -> None:
        """Append the proposals of an image and flush them, so that they survive a kill of this process.

        Raises RunError.
        """
        boxes = compact_boxes(proposals.boxes.float().numpy())
        record = _RECORD_HEADER.pack(image_hash, len(boxes), boxes.dtype == np.uint16)
        record += boxes.astype(_dtype(boxes.dtype == np.uint16)).tobytes()
        record += proposals.scores.float().numpy().astype("<f4").tobytes()
        try:
            start = self._stream.seek(0, os.SEEK_END)
            self._stream.write(record + _CHECKSUM.pack(zlib.crc32(record)))
            self._stream.flush()
        except OSError as error:
            raise RunError(f"{self._journal}: expected to write proposals, found: {error.strerror or error}") from error
        self._records[image_hash] = _Record(start, len(boxes), boxes.dtype == np.uint16)

    def finish(self, images: Sequence[tuple[str, int]]) -> ProposalFile:
        """Write the file of (name, content hash) of each image, all of them searched, and remove the journal."""
        counts = [self._num_boxes(image_hash) for _, image_hash in images]
        offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
        all_whole = all(self._has_whole_boxes(image_hash) for _, image_hash in images)
        boxes: Boxes = np.empty((offsets[-1], 4), np.uint16) if all_whole else np.empty((offsets[-1], 4), np.float32)
        scores = np.empty(offsets[-1], np.float32)
        for index, (_, image_hash) in enumerate(images):
            rows = slice(offsets[index], offsets[index + 1])
            boxes[rows], scores[rows] = self._get(image_hash)
        hashes = np.array([image_hash for _, image_hash in images], np.uint64)
        proposals = ProposalFile(tuple(name for name, _ in images), hashes, offsets, boxes, scores, self.settings)
        write_proposals(self.out, proposals)
        self._stream.close()
        self._journal.unlink()
        return proposals

    def _num_boxes(self, image_hash: int) -> int:
        if image_hash in self._records:
            return self._records[image_hash].num_boxes
        return len(self._get(image_hash)[1])

    def _has_whole_boxes(self, image_hash: int) -> bool:
        """Return whether the boxes are known to lie on whole pixels."""
        if image_hash in self._records:
            return self._records[image_hash].is_whole
        return self.earlier is not None and self.earlier.boxes.dtype == np.uint16

    def _get(self, image_hash: int) -> tuple[Boxes, NDArray[np.float32]]:
        if image_hash in self._records:
            record = self._records[image_hash]
            self._stream.seek(record.start + _RECORD_HEADER.size)
            boxes = np.frombuffer(self._stream.read(_num_box_bytes(record)), _dtype(record.is_whole)).reshape(-1, 4)
            return boxes, np.frombuffer(self._stream.read(4 * record.num_boxes), "<f4")
        if self.earlier is None:
            raise KeyError(image_hash)
        index = self._index_in_file[image_hash]
        rows = slice(self.earlier.offsets[index], self.earlier.offsets[index + 1])
        return self.earlier.boxes[rows], self.earlier.scores[rows]

    def _open_journal(self) -> BinaryIO:
        """Return the journal with its records read, truncated after the last complete record."""
        header = json.dumps({"proposals": "unfinished", "settings": self.settings}).encode() + b"\n"
        self._journal.parent.mkdir(parents=True, exist_ok=True)
        stream = self._journal.open("r+b" if self._journal.exists() else "w+b")
        try:
            header_line = stream.readline()
            if not header_line.endswith(b"\n"):
                stream.seek(0)
                stream.write(header)
                stream.truncate()
            elif header_line != header:
                _require_same_settings(self._journal, _parse_settings(self._journal, header_line), self.settings)
            stream.truncate(self._read_records(stream))
            stream.flush()
        except BaseException:
            stream.close()
            raise
        return stream

    def _read_records(self, stream: BinaryIO) -> int:
        """Read every complete record from here on; return the offset where the last of them ends."""
        start, end = stream.tell(), stream.seek(0, os.SEEK_END)
        while end - start >= _RECORD_HEADER.size:
            stream.seek(start)
            header = stream.read(_RECORD_HEADER.size)
            image_hash, num_boxes, is_whole = _RECORD_HEADER.unpack(header)
            record = _Record(start, num_boxes, is_whole)
            size = _num_box_bytes(record) + 4 * num_boxes
            if end - start < len(header) + size + _CHECKSUM.size:
                break
            body = stream.read(size)
            if stream.read(_CHECKSUM.size) != _CHECKSUM.pack(zlib.crc32(body, zlib.crc32(header))):
                break
            self._records[image_hash] = record
            start = stream.tell()
        return start


def _dtype(is_whole: bool) -> str:
    return "<u2" if is_whole else "<f4"


def _num_box_bytes(record: _Record) -> int:
    return 4 * record.num_boxes * (2 if record.is_whole else 4)


def _parse_settings(journal: Path, header_line: bytes) -> Mapping[str, Setting]:
    try:
        settings: dict[str, Setting] = json.loads(header_line)["settings"]
        return dict(settings)
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{journal}: expected the journal of a search, found something else; remove it") from None


def _require_same_settings(file: Path, stored: Mapping[str, Setting], requested: Mapping[str, Setting]) -> None:
    for key in {**requested, **stored}:
        if key not in stored or key not in requested or stored[key] != requested[key]:
            raise UserError(
                f"{file}: expected proposals made with {key}={requested.get(key, 'nothing')}, found "
                f"{stored.get(key, 'nothing')}; give another --out, or remove this file"
            )
