"""kept + dropped + repaired = found, from every format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from detect.config import Config
from detect.config.builders.data import read_splits
from detect.config.files import parse
from detect.data.annotations import pack
from detect.data.usage import Account, account, require_flawless
from detect.errors import UserError
from tests.conftest import Command
from tests.data.inspect.drawn_set import WRITERS
from tests.data.inspect.faults import FAULTS

BOXES = 48  # of the drawn set


def csv_row(root: Path) -> None:
    header, _, *rows = (root / "train.csv").read_text().splitlines()
    (root / "train.csv").write_text("\n".join([header, "p04.jpg,zebra,30,2,30,40", *rows]))


DROPPING: dict[str, tuple[Callable[[Path], object], str]] = {
    "voc": (FAULTS["no extent"].plant, "a box without extent"),
    "coco": (FAULTS["negative width"].plant, "a box without extent"),
    "yolo": (FAULTS["outside, YOLO"].plant, "a box outside its picture"),
    "csv": (csv_row, "a box without extent"),
}


def settings(root: Path, **data: object) -> Config:
    return parse({"data": {"format": "auto", "root": str(root)} | data, "train": {"epochs": 1}}, "test")


def test_nothing_is_flawless() -> None:
    empty = account([pack([], [])])
    assert str(empty) == (
        "boxes: 0 kept + 0 dropped + 0 repaired (clipped) = 0 found; images: 0 kept + 0 skipped = 0 found"
    )
    require_flawless(empty, "nothing")


@pytest.mark.parametrize("name", DROPPING)
def test_the_counts_of_every_format_add_up(tmp_path: Path, name: str) -> None:
    root = WRITERS[name](tmp_path / "set")
    clean = read_splits(settings(root)).account
    assert clean == Account(BOXES, {}, 0, 12, 0)
    require_flawless(clean, "a clean set")
    plant, kind = DROPPING[name]
    plant(root)
    found = read_splits(settings(root)).account
    assert (found.kept, found.dropped, found.boxes) == (BOXES - 1, {kind: 1}, BOXES)
    with pytest.raises(UserError, match=rf"^--strict: here: expected nothing .*, found 1 x {kind}$"):
        require_flawless(found, "here")


def test_boxes_that_are_clipped_and_images_without_labels_count(tmp_path: Path) -> None:
    root = WRITERS["voc"](tmp_path / "set")
    FAULTS["reaching outside"].plant(root)
    found = read_splits(settings(root)).account
    assert found == Account(BOXES - 1, {}, 1, 12, 0)
    beside = WRITERS["beside"](tmp_path / "beside")
    (beside / "photos/p05.xml").unlink()
    splits = read_splits(settings(beside))
    assert splits.account == Account(BOXES - 4, {}, 0, 11, 1)
    assert splits.notes == (f"1 images of {beside} have no XML file and take no part: detect data inspect",)
    with pytest.raises(UserError, match=r"found 1 x images without labels$"):
        require_flawless(splits.account, "here")


def test_training_refuses_before_it_begins(tmp_path: Path, detect_command: Command) -> None:
    root = WRITERS["csv"](tmp_path / "set")
    csv_row(root)
    data = ("--set", "data.format=csv", "--set", f"data.root={root}")
    status, _, err = detect_command("train", "--config", "faster_rcnn", *data, "--strict", "--out", tmp_path / "run")
    assert (status, err.count("\n")) == (2, 1)
    assert err.endswith("expected nothing to drop, repair or skip, found 1 x a box without extent\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("groups", "large", "said"),
    [
        ([], 10, ()),
        ([range(10)], 10, ()),
        (
            [range(11)],
            10,
            ("1 groups of over 10 images (11), too large for one side, so split by name",),
        ),
        (
            [range(4), range(5, 7)],
            2,
            ("1 groups of over 2 images (4), each on one side of the split",),
        ),
    ],
)
def test_large_groups_of_near_duplicates_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: list[range], large: int, said: tuple[str, ...]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("detect.config.builders.data.alike", lambda *_: [list(group) for group in groups])
    monkeypatch.setattr("detect.config.builders.data.LARGE_GROUP", large)
    assert read_splits(settings(WRITERS["beside"](tmp_path / "set"))).notes == tuple(
        f"near-duplicates: {line}" for line in said
    )
