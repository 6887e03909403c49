"""What a prediction has done so far: a damaged file costs batches that are done again, never a wrong one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from detect.evaluation.predictions import Prediction
from detect.inference.prediction_journal import BatchResult, PredictionJournal

CLASSES = ("cat", "größe")
KEY = 2**62 + 1


def batch(place: int) -> BatchResult:
    rows = np.random.default_rng(place)
    prediction = Prediction(
        file=f"image {place}.jpg",
        width=40,
        height=30,
        boxes=rows.uniform(0, 30, (place, 4)).round(4),
        scores=np.sort(rows.uniform(0, 1, place))[::-1],  # best first, as they are written
        labels=rows.integers(1, 3, place),
    )
    return BatchResult((2 * place, 2 * place + 1), (prediction,), (f"other {place}.jpg: no picture",))


def written(file: Path, count: int) -> PredictionJournal:
    finished = PredictionJournal(file, KEY, CLASSES)
    for place in range(count):
        finished.add(batch(place))
    return finished


def told(batches: list[BatchResult]) -> list[str]:
    return [repr(each) for each in batches]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_what_was_done_is_known_again(count: int, tmp_path: Path) -> None:
    file = tmp_path / "done.jsonl"
    first = written(file, count)
    content = file.read_bytes()
    again = PredictionJournal(file, KEY, CLASSES)
    assert told(again.batches) == told(first.batches)
    assert len(again.batches) == count
    assert file.read_bytes() == content


def test_another_command_starts_anew(tmp_path: Path) -> None:
    written(tmp_path / "a", 2)
    assert PredictionJournal(tmp_path / "a", KEY + 1, CLASSES).batches == []


def cut(content: bytes, place: int) -> bytes:
    return content[:place]


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :]


@pytest.mark.parametrize("harm", [cut, flipped])
def test_of_a_damaged_file_the_batches_before_the_damage_are_believed(
    harm: Callable[[bytes, int], bytes], tmp_path: Path
) -> None:
    file = tmp_path / "done.jsonl"
    whole = told(written(file, 3).batches)
    content = file.read_bytes()
    kept = []
    for place in range(0, len(content), 3):
        file.write_bytes(harm(content, place))
        found = told(PredictionJournal(file, KEY, CLASSES).batches)
        kept.append(len(found))
        assert found == whole[: len(found)]
        assert len(found) < 3
    assert kept == sorted(kept)
    assert set(kept) == {0, 1, 2}
