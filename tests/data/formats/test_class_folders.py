"""Folders named for a class: each image is one object."""

from __future__ import annotations

from pathlib import Path

import pytest

from detect.config.builders.data import read_splits, training_data
from detect.config.files import parse_config
from detect.data.formats.class_folders import read_class_folders
from detect.data.formats.report import strict_report
from detect.data.usage import require_clean
from detect.errors import UserError
from tests.data.folders import write_image


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("cat/1.jpg", "cat/deep/2.png", "dog/1.jpg", "dog/notes.txt"):
        if name.endswith("txt"):
            (tmp_path / name).write_text("no image")
        else:
            write_image(tmp_path / name, (20, 30))
    return tmp_path


def test_read_class_folders_gives_one_object_per_image(root: Path) -> None:
    report = strict_report()
    annotations = read_class_folders(root, None, report)
    assert report.findings == ()
    assert annotations.classes == ("cat", "dog")
    assert [Path(annotations.file(i)).relative_to(root).as_posix() for i in range(3)] == [
        "cat/1.jpg",
        "cat/deep/2.png",
        "dog/1.jpg",
    ]
    assert annotations.labels.tolist() == [1, 1, 2]
    assert annotations.boxes.tolist() == [[0, 0, 30, 20]] * 3
    assert read_class_folders(root, ["dog", "cat"], report).labels.tolist() == [2, 2, 1]


@pytest.mark.parametrize(
    ("files", "classes", "message"),
    [
        ([], None, "expected folders named for the class"),
        (["empty/"], None, "empty: expected images, found none"),
        (["cta/1.jpg"], ["cat", "dog"], r'expected a folder of cat, dog \(did you mean "cat"\?\)'),
    ],
)
def test_read_class_folders_of_invalid_folder_fails(
    files: list[str], classes: list[str] | None, message: str, tmp_path: Path
) -> None:
    for name in files:
        if name.endswith("/"):
            (tmp_path / name).mkdir()
        else:
            write_image(tmp_path / name)
    with pytest.raises(UserError, match=message):
        read_class_folders(tmp_path, classes, strict_report())


def test_training_data_of_class_folders(root: Path) -> None:
    data = {"format": "folders", "root": str(root), "train": ".", "val": 0.5}
    train, val = training_data(parse_config({"data": data, "train": {"epochs": 1}}, "test"))
    assert len(train) + len(val) == 3
    assert train.classes == val.classes == ("cat", "dog")


def test_images_outside_the_class_folders_and_linked_folders_are_counted(root: Path) -> None:
    data = {"format": "folders", "root": str(root), "train": ".", "val": 0.5}
    config = parse_config({"data": data, "train": {"epochs": 1}}, "test")
    assert not any("not used" in note or "unread-link" in note for note in read_splits(config).notes)
    write_image(root / "loose.jpg")
    write_image(root / "loose.png")
    (root / "cat/deep/more").symlink_to(root / "dog")
    splits = read_splits(config)
    assert len(splits.train) + len(splits.val) == 3
    notes = [note for note in splits.notes if "not used" in note or "unread-link" in note]
    link = root / "cat/deep/more"
    assert notes == [
        f"unread-link: 1 x linked folder, which is not searched: {link}: a linked folder is not searched",
        f"2 images of {root} have no folder of a class and are not used: move each into one",
    ]
    with pytest.raises(UserError, match="found 2 x images without labels, 1 x linked folder"):
        require_clean(splits.usage, "test")
