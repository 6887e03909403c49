from __future__ import annotations

import csv
import hashlib
import json
import sys
from pathlib import Path

import pytest

from detect.errors import RunError, UserError
from tools import check_first_contact
from tools.check_first_contact import TABLE, Photo, Seconds, judge, photo_table, read_table

CASES: list[tuple[list[tuple[str, float]], str, float, float, bool]] = [
    ([], "nothing", 0.0, 0.0, False),
    ([("cat", 0.5)], "cat", 0.5, 0.5, True),
    ([("cat", 0.49)], "cat", 0.49, 0.49, False),
    ([("dog", 0.9), ("cat", 0.6)], "dog", 0.9, 0.6, True),
    ([("dog", 0.9)], "dog", 0.9, 0.0, False),
]


@pytest.mark.parametrize(("detections", "top", "top_score", "label_score", "right"), CASES)
def test_judge_asks_for_the_class_at_half_or_more(
    detections: list[tuple[str, float]], top: str, top_score: float, label_score: float, right: bool
) -> None:
    result = judge(Photo(Path("a/cat.jpg"), "cat"), detections)
    assert (result.top, result.top_score, result.label_score, result.right) == (top, top_score, label_score, right)
    assert photo_table([result]).row_count == 1


def test_table_has_ten_photos_of_ten_classes_each_with_license_and_source() -> None:
    rows = list(csv.DictReader(TABLE.read_text(encoding="utf-8").splitlines()))
    assert len({row["class"] for row in rows}) == len({row["sha256"] for row in rows}) == len(rows) == 10
    for row in rows:
        assert row["license"] in ("CC0 1.0", "public domain")
        assert row["source"].count("@") == row["source"].count(":") == 1


def test_read_table_names_a_missing_photo_and_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256(b"photo").hexdigest()
    table = tmp_path / "table.csv"
    table.write_text(f"file,class,license,source,sha256\ncat.jpg,cat,CC0 1.0,a/b@c:d,{digest}\n", encoding="utf-8")
    monkeypatch.setattr(check_first_contact, "TABLE", table)
    with pytest.raises(UserError, match=r"cat\.jpg: expected the photo a/b@c:d, found nothing"):
        read_table(tmp_path)
    (tmp_path / "cat.jpg").write_bytes(b"other")
    with pytest.raises(UserError, match=rf"cat\.jpg: expected a/b@c:d with SHA-256 {digest}, found"):
        read_table(tmp_path)
    (tmp_path / "cat.jpg").write_bytes(b"photo")
    assert read_table(tmp_path) == [Photo(tmp_path / "cat.jpg", "cat")]


@pytest.mark.parametrize(("score", "seconds", "status"), [(0.9, 2.5, 0), (0.4, 2.5, 1), (0.9, 2.7, 1)])
def test_status_is_that_of_both_bars(
    score: float, seconds: float, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The imports and the model take a second each, so that the bar is 2.6 seconds."""
    photos = [Photo(tmp_path / f"{index}.jpg", "cat") for index in range(10)]
    one = Seconds(clock=1.0, processor=1.0)
    monkeypatch.setattr(check_first_contact, "read_table", lambda _: photos)
    monkeypatch.setattr(check_first_contact, "_predict", lambda *_: [[("cat", score)]] * 10)
    monkeypatch.setattr(check_first_contact, "measure_start", lambda *_: (Seconds(9.0, seconds), one))
    monkeypatch.setattr(check_first_contact, "measure_model", lambda *_: one)
    arguments = ["any", "--photos", str(tmp_path), "--json", str(tmp_path / "out.json")]
    with pytest.raises(SystemExit) as exit_info:
        check_first_contact.main.main(arguments)
    assert exit_info.value.code == status
    content = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert content["right"] == 10 * (score > 0.5)
    assert content["ratios"]["processor"] == pytest.approx(seconds / 2)


def test_run_counts_the_processor_of_its_process_and_names_a_failure() -> None:
    command = [sys.executable, "-c", "sum(range(10**7))"]
    seconds = check_first_contact._timed(lambda: check_first_contact._run(command))
    assert seconds.processor > 0
    with pytest.raises(RunError, match="expected status 0, found 3: reason"):
        check_first_contact._run([sys.executable, "-c", "import sys; print('reason', file=sys.stderr); sys.exit(3)"])
