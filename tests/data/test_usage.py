"""Counts of kept, dropped and clipped boxes, from every format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from detect.config import Config
from detect.config.builders.data import read_splits
from detect.config.files import parse_config
from detect.data.annotations import Annotations
from detect.data.usage import DataUsage, data_usage, require_clean
from detect.errors import UserError
from tests.conftest import Command
from tests.data.inspect.example_datasets import WRITERS
from tests.data.inspect.example_faults import FAULTS

BOXES = 48  # boxes of the drawn set


def append_row_without_extent(root: Path) -> None:
    header, _, *rows = (root / "train.csv").read_text().splitlines()
    (root / "train.csv").write_text("\n".join([header, "p04.jpg,zebra,30,2,30,40", *rows]))


DROPPED_BOXES: dict[str, tuple[Callable[[Path], object], str]] = {
    "voc": (FAULTS["no extent"].apply, "a box without extent"),
    "coco": (FAULTS["negative width"].apply, "a box without extent"),
    "yolo": (FAULTS["outside, YOLO"].apply, "a box outside its image"),
    "csv": (append_row_without_extent, "a box without extent"),
}


def make_config(root: Path, **data: object) -> Config:
    return parse_config({"data": {"format": "auto", "root": str(root)} | data, "train": {"epochs": 1}}, "test")


def test_data_usage_of_empty_set_is_clean() -> None:
    empty = data_usage([Annotations.from_images([], [])])
    assert str(empty) == ("boxes: 0 kept + 0 dropped + 0 clipped = 0 found; images: 0 kept + 0 skipped = 0 found")
    require_clean(empty, "nothing")


@pytest.mark.parametrize("name", DROPPED_BOXES)
def test_data_usage_with_a_dropped_box_adds_up(tmp_path: Path, name: str) -> None:
    root = WRITERS[name](tmp_path / "set")
    clean = read_splits(make_config(root)).usage
    assert clean == DataUsage(BOXES, {}, 0, 12, 0)
    require_clean(clean, "a clean set")
    plant, kind = DROPPED_BOXES[name]
    plant(root)
    usage = read_splits(make_config(root)).usage
    assert (usage.kept, usage.dropped, usage.boxes) == (BOXES - 1, {kind: 1}, BOXES)
    with pytest.raises(UserError, match=rf"^--strict: here: expected nothing .*, found 1 x {kind}$"):
        require_clean(usage, "here")


def test_data_usage_counts_clipped_boxes_and_unlabeled_images(tmp_path: Path) -> None:
    root = WRITERS["voc"](tmp_path / "set")
    FAULTS["reaching outside"].apply(root)
    usage = read_splits(make_config(root)).usage
    assert usage == DataUsage(BOXES - 1, {}, 1, 12, 0)
    beside = WRITERS["beside"](tmp_path / "beside")
    (beside / "photos/p05.xml").unlink()
    splits = read_splits(make_config(beside))
    assert splits.usage == DataUsage(BOXES - 4, {}, 0, 11, 1)
    assert splits.notes[1:] == (f"1 images of {beside} have no XML file and are not used: detect data inspect",)
    with pytest.raises(UserError, match=r"found 1 x images without labels$"):
        require_clean(splits.usage, "here")


NOTED = {
    "labels of a raw image": "label whose image is of a kind that is not read",
    "category of the same name": "category without objects that repeats a name or groups the others",
    "labels gone": "image without annotation",
    "object with two boxes": "object with a second bndbox, which is not read",
    "labels without image": "annotation without its image",
}


@pytest.mark.parametrize("name", NOTED)
def test_strict_refuses_what_the_log_counts(tmp_path: Path, name: str) -> None:
    fault = FAULTS[name]
    root = WRITERS[fault.format](tmp_path / "set")
    fault.apply(root)
    splits = read_splits(make_config(root))
    (line,) = splits.notes[1:]  # after the line on the splits
    assert line.startswith(f"{fault.kind}: 1 x {NOTED[name]}: {root}")
    assert splits.usage.noted == {NOTED[name]: 1}
    with pytest.raises(UserError, match=rf"^--strict: here: expected nothing .*, found 1 x {NOTED[name]}$"):
        require_clean(splits.usage, "here")


def test_strict_training_with_a_dropped_box_fails_before_the_run_folder(
    tmp_path: Path, detect_command: Command
) -> None:
    root = WRITERS["csv"](tmp_path / "set")
    append_row_without_extent(root)
    data = ("--set", "data.format=csv", "--set", f"data.root={root}")
    status, _, err = detect_command("train", "--config", "faster_rcnn", *data, "--strict", "--out", tmp_path / "run")
    assert (status, err.count("\n")) == (2, 1)
    assert err.endswith("expected nothing to drop, clip or skip, found 1 x a box without extent\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("groups", "max_group", "notes"),
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
def test_large_groups_of_near_duplicates_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: list[range], max_group: int, notes: tuple[str, ...]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("detect.config.builders.splits.group_duplicates", lambda *_: [list(group) for group in groups])
    monkeypatch.setattr("detect.config.builders.splits.MAX_GROUP", max_group)
    assert read_splits(make_config(WRITERS["beside"](tmp_path / "set"))).notes[1:] == tuple(
        f"near-duplicates: {line}" for line in notes
    )
