"""What a prediction run has done so far, so that the same command goes on after a kill.

A line of JSON for each batch, flushed and synced when the batch is done. The first line is the key of everything the
results depend on; a file with another key is of another command and is started anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detect.evaluation.predictions import Prediction
from detect.files import write_text
from detect.predict.formats import photo_record
from detect.predict.results import read_record


@dataclass(frozen=True)
class BatchResult:
    """places: of the photos among all; predictions: one for each; unreadable: a line for each photo left out."""

    places: tuple[int, ...]
    predictions: tuple[Prediction, ...]
    unreadable: tuple[str, ...]


class Finished:
    """The batches done, in order, on disk."""

    def __init__(self, file: Path, key: int, classes: Sequence[str]) -> None:
        self.file = file
        self.classes = tuple(classes)
        self.batches = self._read(key)
        # Written anew without what a kill left unfinished at its end.
        write_text(file, "".join(f"{line}\n" for line in [json.dumps(key), *map(self._line, self.batches)]))

    def add(self, result: BatchResult) -> None:
        """One batch more."""
        self.batches.append(result)
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(self._line(result) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def _line(self, result: BatchResult) -> str:
        records = [photo_record(prediction, self.classes) for prediction in result.predictions]
        return json.dumps([result.places, records, result.unreadable], ensure_ascii=False)

    def _read(self, key: int) -> list[BatchResult]:
        lines = self.file.read_text(encoding="utf-8").split("\n") if self.file.exists() else []
        if not lines or lines[0] != json.dumps(key):
            return []
        labels = {name: label for label, name in enumerate(self.classes, 1)}
        batches = []
        for line in lines[1:-1]:  # the last is empty, or cut off
            places, records, unreadable = json.loads(line)
            found = tuple(read_record(str(self.file), record, labels) for record in records)
            batches.append(BatchResult(tuple(places), found, tuple(unreadable)))
        return batches
