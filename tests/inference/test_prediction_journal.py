"""Tests the prediction journal: after damage batches are computed again, and no wrong batch is accepted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from detect.evaluation.predictions import Prediction
from detect.inference.prediction_journal import BatchResult, PredictionJournal

CLASSES = ("cat", "größe")
RUN_HASH = 2**62 + 1


def make_batch(place: int) -> BatchResult:
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


def write_journal(file: Path, count: int) -> PredictionJournal:
    finished = PredictionJournal(file, RUN_HASH, CLASSES)
    for place in range(count):
        finished.add(make_batch(place))
    return finished


def to_comparable(batches: list[BatchResult]) -> list[str]:
    return [repr(each) for each in batches]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_journal_is_read_back_unchanged(count: int, tmp_path: Path) -> None:
    file = tmp_path / "done.jsonl"
    first = write_journal(file, count)
    content = file.read_bytes()
    again = PredictionJournal(file, RUN_HASH, CLASSES)
    assert to_comparable(again.batches) == to_comparable(first.batches)
    assert len(again.batches) == count
    assert file.read_bytes() == content


def test_journal_of_another_run_is_ignored(tmp_path: Path) -> None:
    write_journal(tmp_path / "a", 2)
    assert PredictionJournal(tmp_path / "a", RUN_HASH + 1, CLASSES).batches == []


def truncate(content: bytes, place: int) -> bytes:
    return content[:place]


def flip_bit(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :]


@pytest.mark.parametrize("harm", [truncate, flip_bit])
def test_batches_before_the_damage_are_kept(harm: Callable[[bytes, int], bytes], tmp_path: Path) -> None:
    file = tmp_path / "done.jsonl"
    whole = to_comparable(write_journal(file, 3).batches)
    content = file.read_bytes()
    kept = []
    for place in range(0, len(content), 3):
        file.write_bytes(harm(content, place))
        found = to_comparable(PredictionJournal(file, RUN_HASH, CLASSES).batches)
        kept.append(len(found))
        assert found == whole[: len(found)]
        assert len(found) < 3
    assert kept == sorted(kept)
    assert set(kept) == {0, 1, 2}
