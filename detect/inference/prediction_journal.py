"""A journal of a prediction run, so that the same command resumes after it was killed.

It has a line for each batch, synced to disk when the batch is complete: a checksum and JSON. The first line has a
hash of everything that the results depend on, and the precision. A file with another hash is from another command and
is overwritten. Lines from the first damaged one on are ignored, and their batches are computed again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from detect.config import Precision
from detect.evaluation.predictions import Prediction
from detect.inference.result_readers import parse_image_record
from detect.inference.result_writers import image_record
from detect.system.checked_lines import checked_line, line_content
from detect.system.files import append_text, complete_lines, write_text


@dataclass(frozen=True)
class BatchResult:
    """The predictions of one batch.

    indices: of its readable images among all images; predictions: one for each of them; unreadable: a line for each
    other image.
    """

    indices: tuple[int, ...]
    predictions: tuple[Prediction, ...]
    unreadable: tuple[str, ...]


class PredictionJournal:
    """The completed batches of a run, in order, in memory and on disk."""

    def __init__(self, file: Path, run_hash: int, classes: Sequence[str], precision: Precision) -> None:
        self.file = file
        self.classes = tuple(classes)
        header = json.dumps([run_hash, precision])
        self.batches = list(self._read(header))
        # Rewritten without the incomplete line that a killed run may have left at the end.
        write_text(file, "".join([checked_line(header), *map(self._encode, self.batches)]))

    def add(self, result: BatchResult) -> None:
        """Append a batch to the journal. Raises RunError if the file cannot be written."""
        self.batches.append(result)
        append_text(self.file, self._encode(result))

    def _encode(self, result: BatchResult) -> str:
        records = [image_record(prediction, self.classes) for prediction in result.predictions]
        return checked_line(json.dumps([result.indices, records, result.unreadable], ensure_ascii=False))

    def _read(self, header: str) -> Iterator[BatchResult]:
        lines = _valid_lines(complete_lines(self.file))
        if next(lines, "") != header:
            return
        labels = {name: label for label, name in enumerate(self.classes, 1)}
        for line in lines:
            indices, records, unreadable = json.loads(line)
            predictions = tuple(parse_image_record(str(self.file), record, labels) for record in records)
            yield BatchResult(tuple(indices), predictions, tuple(unreadable))


def journal_precision(file: Path) -> Precision | None:
    """Return the precision of the run that left a journal when it was interrupted; None where there is no such run.

    A run with ``precision=auto`` goes on in it: a choice by the clock could be another one, and lose it all.
    """
    header = next(_valid_lines(complete_lines(file)), None)
    fields = None if header is None else json.loads(header)
    precision = fields[1] if isinstance(fields, list) and len(fields) == 2 else None
    return next((name for name in get_args(Precision) if name == precision), None)


def _valid_lines(lines: Sequence[str]) -> Iterator[str]:
    """Yield the content of the lines, up to the first whose checksum does not match."""
    for line in lines:
        content = line_content(line)
        if content is None:
            return
        yield content
