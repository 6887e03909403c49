"""Tests ``detect data convert``: conversions from each format to each other and back."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from detect.data.convert.convert import plan_conversion, run_conversion
from detect.data.convert.convertible_dataset import ConvertibleDataset, drop_unrepresentable, read_convertible_dataset
from detect.data.convert.lost_fields import lost_fields, nonstandard_fields
from detect.data.formats.detect_format import WRITABLE_FORMATS, WritableFormat
from detect.data.formats.records import LabeledImage, LabeledObject
from detect.system.progress import show_progress
from tests.conftest import Command
from tests.data.folders import coco_document, voc_object, write_image

FORMATS = list(WRITABLE_FORMATS)


def convert_and_read(data: ConvertibleDataset, target: WritableFormat, folder: Path) -> ConvertibleDataset:
    with show_progress(Console(quiet=True), "converting", 1, "images") as shown:
        run_conversion(plan_conversion(data, target, folder), True, shown)
    return read_convertible_dataset(folder, target, None)


def to_comparable(data: ConvertibleDataset, marks: bool = True) -> dict[str, list[object]]:
    """Return the content of a data set without its paths; marks: include the fields that YOLO does not have."""
    return {
        name: [
            (image.name, image.size, image.image_id, [_object_to_comparable(item, marks) for item in image.objects])
            for image in images
        ]
        for name, images in data.splits.items()
    }


def _object_to_comparable(item: LabeledObject, marks: bool) -> object:
    plain = (item.name, item.box)
    return (*plain, item.difficult, item.crowd, item.truncated, item.pose) if marks else plain


def box_strategy(width: int, height: int) -> st.SearchStrategy[tuple[float, float, float, float]]:
    def span(side: int) -> st.SearchStrategy[tuple[float, float]]:
        ends = st.lists(st.floats(-side, 2 * side, width=64), min_size=2, max_size=2, unique=True).map(sorted)
        return ends.filter(lambda pair: pair[0] < side and pair[1] > 0 and pair[0] + 1 < pair[1] + 1).map(
            lambda pair: (pair[0], pair[1])
        )

    return st.tuples(span(width), span(height)).map(lambda pair: (pair[0][0], pair[1][0], pair[0][1], pair[1][1]))


def object_strategy(width: int, height: int) -> st.SearchStrategy[LabeledObject]:
    return st.builds(
        LabeledObject,
        location=st.just(""),
        name=st.sampled_from(["cat", 'a "big", dog', "Ж & <b>"]),
        box=box_strategy(width, height),
        difficult=st.booleans(),
        crowd=st.booleans(),
        truncated=st.booleans(),
        pose=st.sampled_from(["", "Left"]),
        invalid_reason=st.none(),
        area=st.none() | st.floats(0, 1e6),
        has_mask=st.booleans(),
        mask=st.none(),
    )


@pytest.fixture(scope="module")
def image_files() -> Iterator[list[Path]]:
    """60 x 40 and 37 x 53."""
    with TemporaryDirectory() as folder:
        yield [write_image(Path(folder) / "a.jpg"), write_image(Path(folder) / "b, c.png", (53, 37))]


def make_dataset(files: Sequence[Path], found: Sequence[Sequence[LabeledObject]]) -> ConvertibleDataset:
    sizes = [(40, 60), (53, 37)]
    images = tuple(
        LabeledImage(file, file.name, file, size, place, tuple(own))
        for place, (file, size, own) in enumerate(zip(files, sizes, found, strict=True), start=1)
    )
    lists = {"train": images, "val": (replace(images[1], image_id=1),)}
    names = sorted({item.name for own in found for item in own} | {"cat"})
    return ConvertibleDataset(lists, {name: number for number, name in enumerate(names, start=1)}, ())


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=st.tuples(*(st.lists(object_strategy(*side), max_size=3) for side in ((60, 40), (37, 53)))))
@pytest.mark.parametrize("target", FORMATS)
def test_round_trip_keeps_every_corner_to_the_last_bit(
    target: WritableFormat, image_files: list[Path], found: tuple[list[LabeledObject], list[LabeledObject]]
) -> None:
    if target == "yolo" and not any(found):
        return  # no label file at all is refused below
    data = drop_unrepresentable(make_dataset(image_files, found), target)
    with TemporaryDirectory() as folder:
        back = convert_and_read(data, target, Path(folder) / "new")
        assert to_comparable(back, target != "yolo") == to_comparable(data, target != "yolo")
        assert back.dropped == ()
        if any(found) and target in ("coco", "yolo"):
            assert back.categories == data.categories


def test_box_of_one_pixel_is_dropped_for_voc(image_files: list[Path], tmp_path: Path) -> None:
    small, large = (LabeledObject("line 1", "cat", (3.5, 4.0, x2, 9.0)) for x2 in (4.5, 4.75))
    data = make_dataset(image_files, ([small, large], []))
    assert drop_unrepresentable(data, "coco") is data
    left = drop_unrepresentable(data, "voc")
    assert tuple(map(str, left.dropped)) == (
        f"{image_files[0]}: line 1 (cat): a box that VOC corners cannot represent: 3.5 4 4.5 9",
    )
    assert [item.box for item in convert_and_read(left, "voc", tmp_path / "new").objects()] == [large.box]


@pytest.fixture
def voc_folder(voc: Callable[..., Path]) -> Path:
    """Three images in two splits and their union, with every field, a decimal corner and an invalid box."""
    marks = "<difficult>1</difficult><truncated>1</truncated><pose>Left</pose>"
    images = {
        "a": voc_object("dog", 1, 1, 9, 9, extra=marks) + voc_object("cat", "4.7", 5, 60, 40),
        "b": "",
        "c": voc_object("cat", 3, 4, 50, 30) + voc_object("cat", 5, 5, 5, 5),
    }
    for name, stems in {"train": "ca", "val": "b", "trainval": "abc"}.items():
        root = voc({stem: images[stem] for stem in stems}, lists=name)
    return root


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(FORMATS, 2)))
def test_round_trip_through_two_formats_keeps_the_dataset(
    first: WritableFormat, second: WritableFormat, voc_folder: Path, tmp_path: Path
) -> None:
    data = read_convertible_dataset(voc_folder, "voc", None)
    assert (list(data.splits), len(data.dropped)) == (["train", "trainval", "val"], 1)
    marks = "yolo" not in (first, second)
    there = convert_and_read(data, first, tmp_path / "1")
    on = convert_and_read(there, second, tmp_path / "2")
    back = convert_and_read(on, "voc", tmp_path / "3")
    assert (
        to_comparable(there, marks)
        == to_comparable(on, marks)
        == to_comparable(back, marks)
        == to_comparable(data, marks)
    )
    assert list(back.categories) == list(data.categories) == ["cat", "dog"]


def test_occluded_objects_stay_so_in_coco_and_voc_and_are_counted_elsewhere(
    voc: Callable[..., Path], tmp_path: Path
) -> None:
    mark = "<occluded>1</occluded>"
    root = voc({"a": voc_object("dog", 1, 1, 9, 9, extra=mark) + voc_object("cat", 5, 5, 60, 40)}, lists="train")
    data = read_convertible_dataset(root, "voc", None)
    coco = convert_and_read(data, "coco", tmp_path / "1")
    back = convert_and_read(coco, "voc", tmp_path / "2")
    assert [[item.occluded for item in read.objects()] for read in (data, coco, back)] == [[True, False]] * 3
    (images,) = data.splits.values()
    for target in ("csv", "yolo"):
        assert lost_fields(images, target) == ["occluded of 1 objects"]
    assert nonstandard_fields(data.objects(), "coco") == ["occluded of 1 objects"]


def test_convert_command_writes_files_and_prints_summary(
    voc_folder: Path, tmp_path: Path, detect_command: Command
) -> None:
    target = tmp_path / "new" / "yolo"
    status, out, err = detect_command("data", "convert", voc_folder, target, "--to", "yolo")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        f"{target}: 3 images, 3 objects, 2 classes; train 2, trainval 3, val 1",
        "boxes: 3 kept + 1 dropped + 0 clipped = 4 found; images: 3 kept + 0 skipped = 3 found",
        f"skipped: {voc_folder}/Annotations/c.xml: object 2 (cat): a box without extent: 5 5 5 5",
        "yolo has no field for difficult of 1 objects, truncated of 1 objects, pose of 1 objects: not written",
    ]
    assert (target / "data.yaml").read_text() == (
        "train: train.txt\ntrainval: trainval.txt\nval: val.txt\nnames:\n  0: cat\n  1: dog\n"
    )
    assert (target / "train.txt").read_text() == "./images/c.jpg\n./images/a.jpg\n"
    assert (target / "labels" / "c.txt").read_text() == "0 0.433333333333333333 0.4125 0.8 0.675\n"
    assert (target / "labels" / "b.txt").read_text() == ""
    assert (target / "images" / "a.jpg").read_bytes() == (voc_folder / "JPEGImages" / "a.jpg").read_bytes()
    assert not (target / "images" / "a.jpg").is_symlink()
    assert [path.name for path in target.parent.iterdir()] == ["yolo"]


def test_strict_refuses_to_drop_boxes(voc_folder: Path, tmp_path: Path, detect_command: Command) -> None:
    status, out, err = detect_command("data", "convert", voc_folder, tmp_path / "new", "--to", "yolo", "--strict")
    found = "expected nothing to drop, clip or skip, found 1 x a box without extent"
    assert (status, out, err) == (2, "", f"detect: --strict: {voc_folder}: {found}\n")
    assert not (tmp_path / "new").exists()


def test_link_option_writes_symbolic_links(voc_folder: Path, tmp_path: Path, detect_command: Command) -> None:
    (tmp_path / "new").mkdir()
    status, out, _ = detect_command(
        "data", "convert", voc_folder, tmp_path / "new", "--from", "voc", "--to", "coco", "--link"
    )
    assert status == 0
    assert "coco has no field for difficult of 1 objects, truncated of 1 objects, pose of 1 objects: written in" in out
    assert (tmp_path / "new/images/a.jpg").resolve() == voc_folder / "JPEGImages/a.jpg"


def test_lost_masks_and_areas_are_reported(coco: Callable[..., Path], tmp_path: Path, detect_command: Command) -> None:
    box = {"id": 1, "image_id": 7, "category_id": 13, "bbox": [1, 2, 3, 4], "area": 5, "segmentation": [[1, 2, 3]]}
    root = coco(coco_document([box, box | {"id": 2, "segmentation": [], "area": 12, "iscrowd": 1}]))
    status, out, _ = detect_command("data", "convert", root, tmp_path / "new", "--to", "voc")
    assert status == 0
    assert "voc has no field for the outlines of 1 objects, the areas of 1 outlines: not written" in out
    assert "voc has no field for crowd of 1 objects: written in fields that only detect reads" in out
    back = read_convertible_dataset(tmp_path / "new", "voc", None)
    assert [item.crowd for item in back.objects()] == [False, True]
    kept = convert_and_read(read_convertible_dataset(root, "coco", None), "coco", tmp_path / "same")
    assert [item.area for item in kept.objects()] == [5, 12]
    assert [image.image_id for image in kept.splits["instances"]] == [7, 17]
    assert kept.categories == {"cat": 3, "dog": 13}


def test_images_with_the_same_name_get_different_names(tmp_path: Path) -> None:
    for folder in ("train", "val"):
        write_image(tmp_path / "yolo" / folder / "images" / "a.jpg")
        (tmp_path / "yolo" / folder / "labels").mkdir()
        (tmp_path / "yolo" / folder / "labels" / "a.txt").write_text("0 0.5 0.5 1 1")
    (tmp_path / "yolo" / "data.yaml").write_text("train: ../train/images\nval: ../val/images\nnames: [cat]\n")
    data = read_convertible_dataset(tmp_path / "yolo", "yolo", None)
    names = [plan_conversion(data, target, tmp_path).names.values() for target in FORMATS]
    below = ["train/images/a.jpg", "val/images/a.jpg"]
    assert [list(each) for each in names] == [["train_images_a.jpg", "val_images_a.jpg"], below, below, below]


def write_roboflow_coco(root: Path) -> Path:
    for split in ("train", "valid"):
        write_image(root / split / f"{split}.jpg")
        document = coco_document([], images=[f"{split}.jpg"])
        (root / split / "_annotations.coco.json").write_text(json.dumps(document))
    return root


def write_roboflow_voc(root: Path) -> Path:
    for split in ("train", "valid"):
        write_image(root / split / "a.jpg")
        (root / split / "a.xml").write_text(f"<annotation>{voc_object('cat', 1, 1, 9, 9)}</annotation>")
    return root


def test_roboflow_folders_are_splits(tmp_path: Path) -> None:
    conversion = plan_conversion(
        read_convertible_dataset(write_roboflow_voc(tmp_path / "voc"), "voc", None), "voc", tmp_path / "new"
    )
    lists = {name: text for name, text in conversion.files.items() if name.startswith("ImageSets")}
    assert lists == {"ImageSets/Main/train.txt": "train_a\n", "ImageSets/Main/valid.txt": "valid_a\n"}


def test_splits_are_named_after_roboflow_folders(tmp_path: Path) -> None:
    data = read_convertible_dataset(write_roboflow_coco(tmp_path / "coco"), "coco", None)
    conversion = plan_conversion(data, "csv", tmp_path / "csv")
    assert list(conversion.files) == ["train.csv", "valid.csv"]
    first = next(iter(conversion.names.values()))
    assert [first in text for text in conversion.files.values()] == [True, False]


def test_images_without_xml_are_reported(tmp_path: Path, detect_command: Command) -> None:
    for name in ("a", "b"):
        write_image(tmp_path / f"voc/{name}.jpg")
    (tmp_path / "voc/a.xml").write_text(f"<annotation>{voc_object('cat', 1, 1, 9, 9)}</annotation>")
    status, out, _ = detect_command("data", "convert", tmp_path / "voc", tmp_path / "new", "--to", "yolo")
    assert (status, out.splitlines()[-1]) == (0, "skipped: 1 images without an XML file")


@pytest.mark.usefixtures("voc_folder")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone", "new", "--to", "voc"], "gone: expected a folder of labelled images, found nothing"),
        (["empty", "new", "--to", "voc"], "empty: expected VOC .*, found 0 images and no labels"),
        (["empty", "new", "--from", "coco", "--to", "voc"], "empty: expected images labelled in coco, found none"),
        (["voc", "full", "--to", "coco"], "full: expected a new or an empty folder, found file in it"),
        (["voc", "full/file", "--to", "coco"], "full/file: expected a folder to write in, found a file"),
        (["voc", "new", "--to", "yollo"], r"'yollo' is not one of .*\(did you mean \"yolo\"\?\)"),
        (["voc", "new"], "Missing option '--to'"),
        (
            ["twins", "new", "--to", "yolo"],
            r"a\.png: expected a name that differs from .*a\.jpg in more than the suffix",
        ),
        (
            ["two", "new", "--to", "yolo"],
            "t: expected a different file name for each split, found two named t",
        ),
        (["torn", "new", "--to", "yolo"], r"val\.csv: a\.jpg: expected the same objects in val as in .*train\.csv"),
    ],
)
def test_bad_arguments_are_refused(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    detect_command: Command,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "full", "twins", "torn"):
        (tmp_path / name).mkdir()
    (tmp_path / "full" / "file").write_text("")
    for name in ("twins/a.jpg", "twins/a.png", "torn/a.jpg"):
        write_image(tmp_path / name)
    (tmp_path / "twins" / "train.csv").write_text("a.jpg,cat,1,1,9,9\na.png,cat,1,1,9,9\n")
    (tmp_path / "torn" / "train.csv").write_text("a.jpg,cat,1,1,9,9\n")
    (tmp_path / "torn" / "val.csv").write_text("a.jpg,cat,1,1,9,8\n")
    (tmp_path / "two/annotations").mkdir(parents=True)
    for file in ("t.json", "annotations/t.json"):
        (tmp_path / "two" / file).write_text(json.dumps(coco_document([], images=[])))
    status, out, err = detect_command("data", "convert", *arguments)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert re.search(message, err), err
    assert not (tmp_path / "new").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_failed_conversion_leaves_no_files(voc_folder: Path, tmp_path: Path) -> None:
    data = read_convertible_dataset(voc_folder, "voc", None)
    planned = plan_conversion(data, "csv", tmp_path / "new")
    (voc_folder / "JPEGImages" / "c.jpg").unlink()
    with (
        show_progress(Console(quiet=True), "converting", 1, "images") as shown,
        pytest.raises(Exception, match=r"c\.jpg"),
    ):
        run_conversion(planned, False, shown)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["voc"]


def test_coco_annotation_has_only_standard_fields(voc_folder: Path, tmp_path: Path) -> None:
    convert_and_read(read_convertible_dataset(voc_folder, "voc", None), "coco", tmp_path / "new")
    document = json.loads((tmp_path / "new" / "train.json").read_text())
    assert document["annotations"][0] == {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "bbox": [2, 3, 48, 27],
        "area": 1296,
        "iscrowd": 0,
    }
