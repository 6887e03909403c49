"""What a prediction run has done so far, so that the same command goes on after a kill.

A line for each batch, synced when the batch is done: a checksum and JSON. The first line is the key of everything the
results depend on; a file with another key is of another command and is started anew. From the first damaged line on
nothing is believed: those batches are done again.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from detect.evaluation.predictions import Prediction
from detect.inference.result_readers import read_record
from detect.inference.result_writers import image_record
from detect.system.files import append_text, whole_lines, write_text


@dataclass(frozen=True)
class BatchResult:
    """places: of the images among all; predictions: one for each; unreadable: a line for each image left out."""

    places: tuple[int, ...]
    predictions: tuple[Prediction, ...]
    unreadable: tuple[str, ...]


class Finished:
    """The batches done, in order, on disk."""

    def __init__(self, file: Path, key: int, classes: Sequence[str]) -> None:
        self.file = file
        self.classes = tuple(classes)
        self.batches = list(self._read(key))
        # Written anew without what a kill left unfinished at its end.
        write_text(file, "".join([_line(json.dumps(key)), *map(self._told, self.batches)]))

    def add(self, result: BatchResult) -> None:
        """One batch more. Raises WorkError."""
        self.batches.append(result)
        append_text(self.file, self._told(result))

    def _told(self, result: BatchResult) -> str:
        records = [image_record(prediction, self.classes) for prediction in result.predictions]
        return _line(json.dumps([result.places, records, result.unreadable], ensure_ascii=False))

    def _read(self, key: int) -> Iterator[BatchResult]:
        lines = _believed(whole_lines(self.file))
        if next(lines, "") != json.dumps(key):
            return
        labels = {name: label for label, name in enumerate(self.classes, 1)}
        for line in lines:
            places, records, unreadable = json.loads(line)
            found = tuple(read_record(str(self.file), record, labels) for record in records)
            yield BatchResult(tuple(places), found, tuple(unreadable))


def _line(content: str) -> str:
    return f"{zlib.crc32(content.encode()):08x} {content}\n"


def _believed(lines: Sequence[str]) -> Iterator[str]:
    """What the lines say, up to the first that its checksum denies."""
    for line in lines:
        content = line[9:]
        if _line(content) != f"{line}\n":
            return
        yield content
