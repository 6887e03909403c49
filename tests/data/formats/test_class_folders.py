"""Folders named for a class: each image is one object."""

from __future__ import annotations

from pathlib import Path

import pytest

from detect.config.builders.data import training_data
from detect.config.files import parse_config
from detect.data.formats.class_folders import read_class_folders
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
    annotations = read_class_folders(root, None)
    assert annotations.classes == ("cat", "dog")
    assert [Path(annotations.file(i)).relative_to(root).as_posix() for i in range(3)] == [
        "cat/1.jpg",
        "cat/deep/2.png",
        "dog/1.jpg",
    ]
    assert annotations.labels.tolist() == [1, 1, 2]
    assert annotations.boxes.tolist() == [[0, 0, 30, 20]] * 3
    assert read_class_folders(root, ["dog", "cat"]).labels.tolist() == [2, 2, 1]


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
        read_class_folders(tmp_path, classes)


def test_training_data_of_class_folders(root: Path) -> None:
    data = {"format": "folders", "root": str(root), "train": ".", "val": 0.5}
    train, val = training_data(parse_config({"data": data, "train": {"epochs": 1}}, "test"))
    assert len(train) + len(val) == 3
    assert train.classes == val.classes == ("cat", "dog")
