"""Records of photos: a killed run goes on, and a file of something else stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from detect.bench.explaining_records import ExplanationRecords, PhotoScores, Settings
from detect.errors import UserError
from detect.system.checked_lines import line_content

SETTINGS: Settings = {"model": "0a", "masks": 4, "layer": None}
EMPTY = PhotoScores("größe.jpg", 0)
FULL = PhotoScores("b.jpg", 2, {"gradcam": {"leakage": (None, 0.25)}}, {"peer": "ValueError: no"}, 1.5, 3)


def write_records(file: Path) -> None:
    records = ExplanationRecords(file, SETTINGS)
    for scores in (EMPTY, FULL):
        records.add(scores)


def test_records_without_a_file_are_in_memory() -> None:
    records = ExplanationRecords(None, SETTINGS)
    assert records.photos == {}
    records.add(FULL)
    assert records.photos == {"b.jpg": FULL}


def test_records_come_back(tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    write_records(file)
    assert ExplanationRecords(file, SETTINGS).photos == {"größe.jpg": EMPTY, "b.jpg": FULL}


def test_records_of_other_processes_are_read_and_stay_as_they_are(tmp_path: Path) -> None:
    own, other = tmp_path / "own.jsonl", tmp_path / "other.jsonl"
    write_records(other)
    before = other.read_bytes()
    mine = PhotoScores("c.jpg", 0)
    ExplanationRecords(own, SETTINGS, [other]).add(mine)
    assert other.read_bytes() == before
    assert ExplanationRecords(own, SETTINGS).photos == {"c.jpg": mine}
    assert ExplanationRecords(None, SETTINGS, [own, other]).photos == {"c.jpg": mine, "größe.jpg": EMPTY, "b.jpg": FULL}
    with pytest.raises(UserError, match=r"none\.jsonl: expected records"):
        ExplanationRecords(own, SETTINGS, [tmp_path / "none.jsonl"])


@pytest.mark.parametrize("cut", [1, 20])
def test_a_line_that_a_kill_cut_short_is_measured_again(tmp_path: Path, cut: int) -> None:
    file = tmp_path / "records.jsonl"
    write_records(file)
    file.write_bytes(file.read_bytes()[:-cut])
    records = ExplanationRecords(file, SETTINGS)
    assert records.photos == {"größe.jpg": EMPTY}
    records.add(FULL)
    assert ExplanationRecords(file, SETTINGS).photos == {"größe.jpg": EMPTY, "b.jpg": FULL}


def test_a_damaged_line_does_not_cost_the_others(tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    write_records(file)
    file.write_bytes(file.read_bytes().replace(b'"num_detections": 0', b'"num_detections": 1'))
    assert ExplanationRecords(file, SETTINGS).photos == {"b.jpg": FULL}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({**SETTINGS, "masks": 5}, "expected records with masks 5, found 4"),
        ({**SETTINGS, "score": 0.5}, "expected records with score 0.5, found None"),
    ],
)
def test_records_of_other_settings_are_refused(tmp_path: Path, settings: Settings, message: str) -> None:
    file = tmp_path / "records.jsonl"
    write_records(file)
    before = file.read_bytes()
    with pytest.raises(UserError, match=message):
        ExplanationRecords(file, settings)
    assert file.read_bytes() == before


def test_another_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "EXPLAIN.md"
    file.write_text("# Explanations\n")
    with pytest.raises(UserError, match="found something else"):
        ExplanationRecords(file, SETTINGS)
    assert file.read_text() == "# Explanations\n"


@pytest.mark.parametrize("line", ["", "00000000", "12345678 x"])
def test_a_line_without_its_checksum_has_no_content(line: str) -> None:
    assert line_content(line) is None
