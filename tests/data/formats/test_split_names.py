"""Which names stand for training, validation and test, and which folders are splits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detect.data.formats.split_names import (
    REST,
    choose_split,
    group_by_split_folder,
    guess_split,
    is_role_name,
    split_role,
)

SPELLINGS = {
    None: (
        "",
        "cat",
        "trains",
        "valve",
        "latest",
        "interval",
        "strain",
        "devices",
        "2007",
        "trainvaltest",
        "test_train",
    ),
    "train": (
        "train",
        "Train",
        "TRAIN",
        "training",
        "Training",
        "train2017",
        "train_set",
        "TrainImages",
        "my-train",
        "obj_train_data",
        "instances_train2014",
        "train (1)",
        "01_train",
        "trainset",
    ),
    "val": (
        "val",
        "Val",
        "valid",
        "VALID",
        "validation",
        "Validation",
        "val2017",
        "dev",
        "eval",
        "valset",
        "obj_valid_data",
    ),
    "test": ("test", "Test", "testing", "test2015", "test-dev2017", "test_set", "TestData", "image_info_test2017"),
    "trainval": ("trainval", "TrainVal", "train_val", "2007_trainval", "trainvalid", "train2017_val2017"),
}


@pytest.mark.parametrize(("role", "name"), [(role, name) for role, names in SPELLINGS.items() for name in names])
def test_split_role_of_spellings(role: str | None, name: str) -> None:
    assert split_role(name) == role
    if role is not None:
        assert guess_split(f"a/{name}") == guess_split(f"{name}/labels") == role


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("", None),
        ("mytrain", "train"),
        ("vocval", "val"),
        ("boxes", None),
        ("train/_annotations.coco", "train"),
        ("valid/_annotations", "val"),
        ("test/train", "train"),
        ("mytrainval", None),
    ],
)
def test_guess_split_of_paths(name: str, role: str | None) -> None:
    assert guess_split(name) == role


def test_is_role_name_takes_the_whole_name() -> None:
    assert all(map(is_role_name, ("train", "Valid", "dev", "TEST", "trainval")))
    assert not any(map(is_role_name, ("", "train2017", "val_interval", "test_set", "cat")))


def groups(*files: str) -> dict[str, list[str]]:
    return group_by_split_folder({file: file.split("/")[:-1] for file in files})


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ((), {}),
        (("a", "b"), {}),
        (("train/a", "b"), {}),
        (("train/a", "car/b"), {}),
        (("train/a", "train/b"), {}),
        (("test/a",), {}),
        (("train/a", "val/b"), {"train": ["train/a"], "val": ["val/b"]}),
        (("Training/a", "Testing/b"), {"Training": ["Training/a"], "Testing": ["Testing/b"]}),
        (("a", "val/b"), {REST: ["a"], "val": ["val/b"]}),
        (("old/a", "test/b"), {REST: ["old/a"], "test": ["test/b"]}),
        (("train/a", "val/b", "c"), {"train": ["train/a"], "val": ["val/b"]}),
        (("c", "val/b", "test/a"), {REST: ["c"], "test": ["test/a"], "val": ["val/b"]}),
        (("test_set/x/train/a", "test_set/x/val/b"), {"train": ["test_set/x/train/a"], "val": ["test_set/x/val/b"]}),
        (
            ("cam1/train/a", "cam2/train/a", "cam1/val/b"),
            {"train": ["cam1/train/a", "cam2/train/a"], "val": ["cam1/val/b"]},
        ),
        (("train/test_cam/a", "val/test_cam/b"), {"train": ["train/test_cam/a"], "val": ["val/test_cam/b"]}),
    ],
)
def test_group_by_split_folder(files: tuple[str, ...], expected: dict[str, list[str]]) -> None:
    assert groups(*files) == expected


@given(st.lists(st.lists(st.sampled_from(["train", "Val", "test", "cam1", "x"]), max_size=3), max_size=8))
def test_group_by_split_folder_has_every_image_once(folders: list[list[str]]) -> None:
    grouped = group_by_split_folder(dict(enumerate(folders)))
    if grouped:
        grouped_images = sorted(image for images in grouped.values() for image in images)
        assert len(grouped) > 1
        assert len(set(grouped_images)) == len(grouped_images)
        assert grouped_images == list(range(len(folders))) or "train" in grouped


def test_choose_split_prefers_the_plain_name() -> None:
    assert choose_split([], "train") == []
    assert choose_split(["train", "train_small"], "train") == ["train"]
    assert choose_split(["Training", "train_small"], "train") == ["Training"]
    assert choose_split(["a/captions_val", "a/instances_val"], "val") == ["a/instances_val"]
    assert choose_split(["val_a", "val_b", "test"], "val") == ["val_a", "val_b"]
