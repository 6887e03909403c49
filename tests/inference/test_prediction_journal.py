"""Tests the prediction journal: after damage, batches are computed again, and no wrong batch is accepted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from detect.config import Precision
from detect.evaluation.predictions import Prediction
from detect.inference.prediction_journal import BatchResult, PredictionJournal, journal_precision
from detect.system.checked_lines import checked_line

CLASSES = ("cat", "größe")
RUN_HASH = 2**62 + 1


def make_batch(index: int) -> BatchResult:
    rows = np.random.default_rng(index)
    prediction = Prediction(
        file=f"image {index}.jpg",
        width=40,
        height=30,
        boxes=rows.uniform(0, 30, (index, 4)).round(4),
        scores=np.sort(rows.uniform(0, 1, index))[::-1],  # best first, as they are written
        labels=rows.integers(1, 3, index),
    )
    return BatchResult((2 * index, 2 * index + 1), (prediction,), (f"other {index}.jpg: no picture",))


def write_journal(file: Path, count: int) -> PredictionJournal:
    finished = PredictionJournal(file, RUN_HASH, CLASSES, "fp32")
    for index in range(count):
        finished.add(make_batch(index))
    return finished


def to_comparable(batches: list[BatchResult]) -> list[str]:
    return [repr(each) for each in batches]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_journal_is_read_back_unchanged(count: int, tmp_path: Path) -> None:
    file = tmp_path / "done.jsonl"
    first = write_journal(file, count)
    content = file.read_bytes()
    journal = PredictionJournal(file, RUN_HASH, CLASSES, "fp32")
    assert to_comparable(journal.batches) == to_comparable(first.batches)
    assert len(journal.batches) == count
    assert file.read_bytes() == content


def test_journal_of_another_run_is_ignored(tmp_path: Path) -> None:
    write_journal(tmp_path / "a", 2)
    assert PredictionJournal(tmp_path / "a", RUN_HASH + 1, CLASSES, "fp32").batches == []


@pytest.mark.parametrize("precision", get_args(Precision))
def test_the_precision_of_an_interrupted_run_is_read(precision: Precision, tmp_path: Path) -> None:
    file = tmp_path / "done.jsonl"
    assert journal_precision(file) is None
    PredictionJournal(file, RUN_HASH, CLASSES, precision)
    assert journal_precision(file) == precision
    other = next(name for name in get_args(Precision) if name != precision)
    assert PredictionJournal(file, RUN_HASH, CLASSES, other).batches == []
    file.write_bytes(file.read_bytes()[:-5])
    assert journal_precision(file) is None
    file.write_text(checked_line("7"), encoding="utf-8")  # of another version
    assert journal_precision(file) is None


def truncate(content: bytes, index: int) -> bytes:
    return content[:index]


def flip_bit(content: bytes, index: int) -> bytes:
    return content[:index] + bytes([content[index] ^ 1 << index % 8]) + content[index + 1 :]


@pytest.mark.parametrize("damage", [truncate, flip_bit])
def test_batches_before_the_damage_are_kept(damage: Callable[[bytes, int], bytes], tmp_path: Path) -> None:
    file = tmp_path / "done.jsonl"
    all_batches = to_comparable(write_journal(file, 3).batches)
    content = file.read_bytes()
    num_kept = []
    for index in range(0, len(content), 3):
        file.write_bytes(damage(content, index))
        batches = to_comparable(PredictionJournal(file, RUN_HASH, CLASSES, "fp32").batches)
        num_kept.append(len(batches))
        assert batches == all_batches[: len(batches)]
        assert len(batches) < 3
    assert num_kept == sorted(num_kept)
    assert set(num_kept) == {0, 1, 2}
