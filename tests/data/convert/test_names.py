"""Tests which names photos, label files and classes get in the new folder, and that they come back from it."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from detect.data.convert.class_names import describe_lost_classes, written_classes
from detect.data.convert.convert import Conversion, plan_conversion, run_conversion
from detect.data.convert.convertible_dataset import ConvertibleDataset, read_convertible_dataset
from detect.data.formats.detect_format import WRITABLE_FORMATS, WritableFormat, detect_format
from detect.data.formats.records import Corners, LabeledImage, LabeledObject
from detect.errors import UserError
from detect.system.progress import show_progress
from tests.conftest import Command
from tests.data.folders import coco_document, write_image

Content = list[tuple[str, Corners]]


def make_dataset(
    root: Path, splits: Mapping[str, Sequence[str]], classes: Sequence[str] = ("cat",)
) -> ConvertibleDataset:
    """Return photos of 60 x 40, each with an object of every class, whose box says which photo it is."""
    images: dict[str, LabeledImage] = {}
    for name in dict.fromkeys(name for names in splits.values() for name in names):
        place = len(images)
        file = write_image(root / f"{place}.png").rename(root / f"{place}")  # OpenCV writes no name of odd characters
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        file.rename(root / name)
        objects = tuple(LabeledObject(each, each, (1.0, 2.0, 4.5 + place, 30.0)) for each in classes)
        images[name] = LabeledImage(root / name, name, root / "labels", (40, 60), place + 1, objects)
    lists = {split: tuple(images[name] for name in names) for split, names in splits.items()}
    return ConvertibleDataset(lists, {name: number for number, name in enumerate(classes, start=1)}, ())


def write(data: ConvertibleDataset, target: WritableFormat, folder: Path) -> Conversion:
    conversion = plan_conversion(data, target, folder)
    with show_progress(Console(quiet=True), "converting", 1, "images") as shown:
        run_conversion(conversion, False, shown)
    return conversion


def content(data: ConvertibleDataset) -> dict[str, list[Content]]:
    """Return the classes and boxes of each photo of each split, in their order."""
    return {
        split: [[(each.name, each.box) for each in image.objects] for image in images]
        for split, images in data.splits.items()
    }


def label_file_of_ultralytics(image: str) -> Path:
    """Return what ``img2label_paths`` of ultralytics.data.utils returns for the path of a photo."""
    return Path("/labels/".join(image.rsplit("/images/", 1)).rsplit(".", 1)[0] + ".txt")


NESTED = [
    {"train": ["a.png"]},
    {"train": ["images/a.png"]},
    {"train": ["a.png", "images/a.png"]},
    {"train": ["a.png", "b.png"], "val": ["images/a.png"]},
    {"train": ["train/images/a.png"], "val": ["valid/images/a.png"]},
    {"train": ["x/images/y/images/a.b.png", "labels/a.png"], "val": ["images/labels/a.png"]},
]


@pytest.mark.parametrize("splits", NESTED, ids=lambda splits: " ".join(itertools.chain(*splits.values())))
def test_labels_lie_where_yolo_programs_look(splits: dict[str, list[str]], tmp_path: Path) -> None:
    data, folder = make_dataset(tmp_path / "old", splits), tmp_path / "new"
    write(data, "yolo", folder)
    assert detect_format(folder) == "yolo"
    for split, images in data.splits.items():
        listed = [str(folder / line) for line in (folder / f"{split}.txt").read_text().splitlines()]
        labels = [label_file_of_ultralytics(image) for image in listed]
        assert [path.read_text().count("\n") for path in labels] == [len(image.objects) for image in images]
    back = read_convertible_dataset(folder, "yolo", None)
    assert (content(back), back.findings) == (content(data), ())


def test_two_photos_with_one_place_for_their_labels_are_refused(tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "old", {"train": ["images/labels/a.png", "labels/images/a.png"]})
    message = (
        r"labels/images/a\.png: expected .* own, found that .*images/labels/a\.png has it: images/labels/labels/a.txt"
    )
    with pytest.raises(UserError, match=message):
        plan_conversion(data, "yolo", tmp_path / "new")


def test_photos_below_a_folder_images_convert_by_the_command(tmp_path: Path, detect_command: Command) -> None:
    """Label Studio's COCO export names its photos so."""
    write_image(tmp_path / "old/images/a.jpg")
    box = {"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 30, 20], "area": 600, "iscrowd": 0}
    (tmp_path / "old/result.json").write_text(json.dumps(coco_document([box], ["images/a.jpg"])))
    assert detect_command("data", "convert", tmp_path / "old", tmp_path / "new", "--to", "yolo")[0] == 0
    assert (tmp_path / "new/images/labels/a.txt").read_text().startswith("0 ")


CLASSES = ["1", "yes", "null", "1e3", "2E5", "007", "0x1F", "12:30", "1_000", "1.10", "~", "2024-01-01", "a: b", "é"]


@pytest.mark.parametrize("target", WRITABLE_FORMATS)
def test_classes_that_look_like_numbers_come_back(target: WritableFormat, tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "old", {"train": ["a.png"]}, CLASSES)
    write(data, target, tmp_path / "new")
    back = read_convertible_dataset(tmp_path / "new", target, None)
    assert content(back) == content(data)
    if target == "yolo":
        assert list(back.categories) == CLASSES


# name, its name in voc, yolo, csv and coco
PHOTOS = [
    ("a.png", ("a.png",) * 4),
    ("a#b c.png", ("a#b c.png",) * 4),
    ("#1.png", ("_1.png", "#1.png", "#1.png", "#1.png")),
    ("##1.png", ("_#1.png", "##1.png", "##1.png", "##1.png")),
    (" a.png", ("_a.png", " a.png", "_a.png", " a.png")),
    ("\u00a0a.png", ("_a.png", "\u00a0a.png", "_a.png", "\u00a0a.png")),
    ("a .png", ("a_.png", "a .png", "a .png", "a .png")),
    ("  a  .png", ("__a__.png", "  a  .png", "__a  .png", "  a  .png")),
    ("\ufeffa.png", ("_a.png", "\ufeffa.png", "\ufeffa.png", "\ufeffa.png")),
    ("a\\b.png", ("a_b.png",) * 4),
    ("a\nb.png", ("a_b.png", "a_b.png", "a\nb.png", "a\nb.png")),
    ("a\rb.png", ("a_b.png", "a_b.png", "a_b.png", "a\rb.png")),
    ("a\x01b.png", ("a_b.png", "a\x01b.png", "a\x01b.png", "a\x01b.png")),
    ("a\x85b.png", ("a_b.png", "a_b.png", "a\x85b.png", "a\x85b.png")),
    ("a\u2028b.png", ("a_b.png", "a_b.png", "a\u2028b.png", "a\u2028b.png")),
    ("a\udce9b.png", ("a_b.png",) * 4),  # a byte that is no UTF-8, as the system gives it
    ("a\tb.png", ("a\tb.png",) * 4),
    ("d/ #a.png", ("_#a.png", "d/ #a.png", "d/ #a.png", "d/ #a.png")),
]


@pytest.mark.parametrize(("name", "expected"), PHOTOS, ids=lambda value: ascii(value) if isinstance(value, str) else "")
@pytest.mark.parametrize("target", WRITABLE_FORMATS)
def test_photos_of_odd_names_come_back(
    target: WritableFormat, name: str, expected: tuple[str, ...], tmp_path: Path
) -> None:
    data = make_dataset(tmp_path / "old", {"train": [name, "z.png"]})
    conversion = write(data, target, tmp_path / "new")
    new_name = expected[("voc", "yolo", "csv", "coco").index(target)]
    assert list(conversion.names.values()) == [new_name, "z.png"]
    back = read_convertible_dataset(tmp_path / "new", target, None)
    assert (content(back), back.findings) == (content(data), ())
    is_kept = new_name in (name, Path(name).name)
    line = f"renamed: 1 photo whose name {target} cannot hold: {name!r} is {new_name!r}"
    assert conversion.notes == (() if is_kept else (line,))


def test_renamed_photos_take_no_name_of_another(tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "old", {"train": ["#1.png", "_1.png", " 1.png", "_1_.jpg"]})
    conversion = write(data, "voc", tmp_path / "new")
    assert list(conversion.names.values()) == ["_1__.png", "_1.png", "_1___.png", "_1_.jpg"]
    assert conversion.notes == ("renamed: 2 photos whose names voc cannot hold: '#1.png' is '_1__.png', ...",)
    assert content(read_convertible_dataset(tmp_path / "new", "voc", None)) == content(data)


def test_command_says_which_photos_it_renames(tmp_path: Path, detect_command: Command) -> None:
    write_image(tmp_path / "old/#1.jpg")
    (tmp_path / "old/train.csv").write_text("#1.jpg,cat,1,1,9,9\n")
    status, out, err = detect_command("data", "convert", tmp_path / "old", tmp_path / "new", "--to", "voc")
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == "renamed: 1 photo whose name voc cannot hold: '#1.jpg' is '_1.jpg'"
    assert (tmp_path / "new/ImageSets/Main/train.txt").read_text() == "_1\n"


# target, classes, their names there, the line
CLASS_NAMES = [
    ("voc", ["cat", "big cat"], ["cat", "big cat"], ""),
    ("voc", [" cat", "dog "], ["cat", "dog"], "2 classes whose names voc cannot hold: ' cat' is 'cat', ..."),
    ("csv", [" cat", "dog "], ["cat", "dog"], "2 classes whose names csv cannot hold: ' cat' is 'cat', ..."),
    ("csv", ["\u00a0cat", "dog"], ["cat", "dog"], "1 class whose name csv cannot hold: '\\xa0cat' is 'cat'"),
    ("voc", ["c\x01at", "a\nb"], ["c_at", "a\nb"], "1 class whose name voc cannot hold: 'c\\x01at' is 'c_at'"),
    ("csv", ["c\x01at", "a\nb"], ["c\x01at", "a\nb"], ""),
    ("csv", ["a\rb"], ["a_b"], "1 class whose name csv cannot hold: 'a\\rb' is 'a_b'"),
]


@pytest.mark.parametrize(("target", "classes", "expected", "line"), CLASS_NAMES, ids=lambda value: ascii(value))
def test_classes_that_a_format_cannot_hold_are_renamed(
    target: WritableFormat, classes: list[str], expected: list[str], line: str, tmp_path: Path
) -> None:
    conversion = write(make_dataset(tmp_path / "old", {"train": ["a.png"]}, classes), target, tmp_path / "new")
    assert conversion.notes == ((f"renamed: {line}",) if line else ())
    back = read_convertible_dataset(tmp_path / "new", target, None)
    assert [name for name, _ in content(back)["train"][0]] == expected


@pytest.mark.parametrize("target", ["voc", "csv"])
def test_classes_without_objects_take_no_name_in_formats_without_a_list(target: WritableFormat, tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "old", {"train": ["a.png"]}, ["cat"])
    more = replace(data, categories={"cat ": 3, "cat": 1, "": 2})
    assert write(more, target, tmp_path / "new").notes == ()
    assert content(read_convertible_dataset(tmp_path / "new", target, None)) == content(data)


@pytest.mark.parametrize("target", ["yolo", "coco"])
def test_classes_keep_their_blanks_where_the_format_holds_them(target: WritableFormat, tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "old", {"train": ["a.png"]}, [" cat", "cat", "cat "])
    assert write(data, target, tmp_path / "new").notes == ()
    assert content(read_convertible_dataset(tmp_path / "new", target, None)) == content(data)


# target, classes of the list, those with objects, those that come back, the lines
LISTED_CLASSES = [
    ("csv", [], [], [], []),
    ("csv", ["cat", "dog"], ["cat", "dog"], ["cat", "dog"], []),
    ("coco", ["dog", "cat", "yak"], ["cat"], ["dog", "cat", "yak"], []),
    ("yolo", ["dog", "cat", "yak"], ["cat"], ["dog", "cat", "yak"], []),
    ("csv", ["dog", "cat"], ["cat"], ["cat"], ["1 class without objects not written: 'dog'"]),
    ("csv", ["dog", "cat"], ["cat", "dog"], ["cat", "dog"], ["their order is not written"]),
    ("voc", ["b", "yak", "a"], ["a", "b"], ["a", "b"], ["1 class without objects not written: 'yak'", "their order"]),
    ("voc", ["a", " b"], ["a", " b"], ["a", "b"], []),
    ("csv", list("abcdefghijkl"), ["a"], ["a"], ["11 classes without objects not written: 'b', 'c', 'd'"]),
]


@pytest.mark.parametrize(("target", "listed", "used", "expected", "lines"), LISTED_CLASSES)
def test_classes_that_a_format_without_a_list_loses_are_said(
    target: WritableFormat, listed: list[str], used: list[str], expected: list[str], lines: list[str], tmp_path: Path
) -> None:
    data = make_dataset(tmp_path / "old", {"train": ["a.png"]}, used)
    data = replace(data, categories={name: number for number, name in enumerate(listed, start=1)})
    described = describe_lost_classes(data, target)
    assert len(described) == len(lines)
    for line, end in zip(described, lines, strict=True):
        assert line.startswith(f"{target} has no list of classes: {end}")
    write(data, target, tmp_path / "new")
    back = list(read_convertible_dataset(tmp_path / "new", target, None).categories)
    assert (back, len(written_classes(data, target))) == (expected, len(expected))


def test_command_counts_the_classes_that_are_written(
    coco: Callable[..., Path], tmp_path: Path, detect_command: Command
) -> None:
    box = {"id": 1, "image_id": 7, "category_id": 13, "bbox": [1, 2, 3, 4]}
    root = coco(coco_document([box]))  # dog; cat has no object
    for target, count in (("yolo", 2), ("csv", 1), ("voc", 1)):
        status, out, err = detect_command("data", "convert", root, tmp_path / target, "--to", target)
        assert (status, err) == (0, "")
        assert f" 1 objects, {count} classes; " in out
        assert ("1 class without objects not written: 'cat'" in out) is (count == 1)


LOST_CLASSES = [
    ("voc", ["cat", "cat ", "dog"], "found 'cat' (2 objects) and 'cat ' (2 objects), both 'cat' there"),
    ("csv", [" cat", "cat "], "found ' cat' (2 objects) and 'cat ' (2 objects), both 'cat' there"),
    ("voc", ["c\x01at", "c\x02at"], "found 'c\\x01at' (2 objects) and 'c\\x02at' (2 objects), both 'c_at' there"),
    ("voc", ["cat", ""], "expected a name for each class, found '' (2 objects)"),
    ("csv", [" "], "expected a name for each class, found ' ' (2 objects)"),
    ("yolo", ["cat", " "], "expected a name for each class, found ' ' (2 objects)"),
]


@pytest.mark.parametrize(("target", "classes", "message"), LOST_CLASSES)
def test_classes_that_would_be_one_or_none_are_refused(
    target: WritableFormat, classes: list[str], message: str, tmp_path: Path
) -> None:
    data = make_dataset(tmp_path / "old", {"train": ["a.png", "b.png"]}, classes)
    with pytest.raises(UserError, match=re.escape(message)) as raised:
        plan_conversion(data, target, tmp_path / "new")
    assert str(raised.value).startswith(f"--to {target}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "names", [["a.png", "a.jpg"], ["a.png", "a.jpg", "a.bmp"], ["b.png", "a.png", "a.x.jpg", "a.jpg"]]
)
@pytest.mark.parametrize("target", WRITABLE_FORMATS)
def test_photos_that_differ_only_in_their_suffix_are_refused(
    target: WritableFormat, names: list[str], tmp_path: Path
) -> None:
    data = make_dataset(tmp_path / "old", {"train": names})
    with pytest.raises(UserError, match=r"a\.jpg: expected a name that differs from .*a\.png in more than the suffix"):
        plan_conversion(data, target, tmp_path / "new")


def test_data_yaml_is_read_alike_by_other_programs(tmp_path: Path) -> None:
    """PyYAML's own loader takes 1e3 for text, detect's for a number: in quotes both read the text."""
    data = make_dataset(tmp_path / "old", {"train": ["a.png"]}, CLASSES)
    write(data, "yolo", tmp_path / "new")
    assert list(yaml.safe_load((tmp_path / "new/data.yaml").read_text())["names"].values()) == CLASSES


@pytest.mark.parametrize("split", ["names", "nc", "path"])
def test_a_split_with_a_name_of_data_yaml_is_refused_for_yolo(split: str, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, {split: ["a.png"]})
    with pytest.raises(UserError, match=rf"--to yolo: expected splits of other names .*, found {split}"):
        plan_conversion(dataset, "yolo", tmp_path / "new")
