from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from detect.config.builders.resolve import resolve_data
from detect.config.data import DataConfig
from detect.data.formats.detect_format import detect_format, format_signs
from detect.data.formats.image_index import FileIndex
from detect.data.formats.labeled_folder import LabeledFolder
from detect.data.formats.read_folder import list_splits
from detect.data.formats.records import LabeledSet
from detect.data.formats.report import strict_report
from detect.data.formats.sizes import ImageSizes
from detect.data.formats.voc import VocFolder
from detect.data.inspect.inspector import scan_folder
from detect.errors import UserError
from tests.data.folders import coco_document, voc_object, write_image

BOX = "0 0.5 0.5 1 1"
XML = f"<annotation>{voc_object('cat', 1, 1, 9, 9)}</annotation>"
COCO = json.dumps({"info": "x"} | coco_document([], images=[]))
NOTES = json.dumps({"categories": [{"id": 0, "name": "cat"}], "info": {"contributor": "Label Studio"}})
Files = Callable[[dict[str, str]], Path]


def voc_images(root: Path, split: str) -> LabeledSet:
    return VocFolder(root, strict_report(), ImageSizes()).read_split(split)


def scan_voc(root: Path) -> LabeledFolder:
    return scan_folder(root, "voc")


@pytest.fixture
def folder(tmp_path: Path) -> Files:
    """Return a function that writes files by name and content, and an image for each name that ends in .jpg."""

    def write(files: dict[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text) if path.suffix != ".jpg" else write_image(path)
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("files", "expected", "splits"),
    [
        ({"a.jpg": "", "a.xml": XML}, "voc", ["train"]),
        ({"sub/a.jpg": "", "sub/a.xml": XML}, "voc", ["train"]),
        (
            {f"{split}/a.{kind}": XML for split in ("train", "valid") for kind in ("jpg", "xml")},
            "voc",
            ["train", "valid"],
        ),
        ({"test/a.jpg": "", "test/a.xml": XML}, "voc", ["train"]),
        ({f"{name}/a.{kind}": XML for name in ("car", "train") for kind in ("jpg", "xml")}, "voc", ["train"]),
        ({"annotations/a.xml": XML, "images/a.jpg": ""}, "voc", ["train"]),
        ({"ImageSets/Main/one.txt": "", "ImageSets/Main/cat_one.txt": "", "Annotations/a.xml": XML}, "voc", ["one"]),
        ({"a.json": COCO, "b.json": "[]"}, "coco", ["a"]),
        ({"annotations/t.json": COCO, "annotations/v.json": COCO}, "coco", ["annotations/t", "annotations/v"]),
        ({"data.yaml": "val: images\nnames: [a]", "images/a.jpg": "", "labels/a.txt": BOX}, "yolo", ["val"]),
        ({"data.yaml": "names: [a]", "images/a.jpg": "", "labels/a.txt": BOX}, "yolo", ["train"]),
        ({"data.yaml": "names: [a]", "train/a.jpg": "", "val/b.jpg": ""}, "yolo", ["train", "val"]),
        ({"classes.txt": "cat", "a.jpg": "", "a.txt": BOX}, "yolo", ["train"]),
        ({"labels/classes.txt": "cat", "images/a.jpg": "", "labels/a.txt": BOX}, "yolo", ["train"]),
        ({"obj.names": "cat", "obj.data": "", "obj_train_data/a.jpg": ""}, "yolo", ["train"]),
        ({"classes.txt": "cat", "notes.json": NOTES, "images/a.jpg": "", "labels/a.txt": BOX}, "yolo", ["train"]),
        ({"a.json": '{"categories": [' + " " * (1 << 16) + "]}"}, "coco", ["a"]),
        ({"boxes.csv": "", "a.jpg": ""}, "csv", ["boxes"]),
        ({"annotations/boxes.csv": "", "images/a.jpg": ""}, "csv", ["annotations/boxes"]),
        ({"annotations/a.xml": XML, "annotations/all.csv": "", "images/a.jpg": ""}, "voc", ["train"]),
        ({"annotations/t.json": COCO, "annotations/t.csv": ""}, "coco", ["annotations/t"]),
    ],
    ids=[
        "XML beside",
        "in a sub folder",
        "in folders named for their split",
        "in a folder without training images",
        "in folders named for their class",
        "XML apart",
        "VOC",
        "COCO",
        "COCO's own",
        "YOLO",
        "supervision's YOLO",
        "supervision's YOLO in folders",
        "labelImg's YOLO",
        "labelImg's YOLO apart",
        "CVAT's YOLO",
        "Label Studio's YOLO",
        "many categories",
        "CSV",
        "CSV in annotations",
        "VOC with a table",
        "COCO with a table",
    ],
)
def test_detect_format_and_list_splits(folder: Files, files: dict[str, str], expected: str, splits: list[str]) -> None:
    root = folder(files)
    assert detect_format(root) == expected
    assert list_splits(detect_format(root), root) == splits


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "expected VOC .*, found 0 images and no labels"),
        ({"a.jpg": "", "sub/b.jpg": "", "notes.json": "{}"}, "found 2 images and no labels"),
        ({"a.csv": "", "a.jpg": "", "a.xml": XML}, r"expected one format, found voc \(a\.xml\) and csv \(a\.csv\)"),
    ],
)
def test_detect_format_of_unclear_folder_fails(folder: Files, files: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        detect_format(folder(files))


CVAT = '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version></annotations>'


@pytest.mark.parametrize("read", [scan_voc, lambda root: voc_images(root, "train")])
def test_cvat_xml_is_refused_as_voc(folder: Files, read: Callable[[Path], object]) -> None:
    root = folder({"annotations.xml": CVAT, "images/a.jpg": ""})
    assert detect_format(root) == "cvat"
    with pytest.raises(
        UserError, match=r"annotations\.xml: .* CVAT's own XML: data.format=cvat or --format cvat reads it$"
    ):
        read(root)


def test_detect_format_of_image_named_annotations_is_voc(folder: Files) -> None:
    root = folder({"annotations.xml": XML, "annotations.jpg": ""})
    assert detect_format(root) == "voc"
    assert len(voc_images(root, "train").images) == 1


def test_voc_images_skips_images_without_xml(folder: Files) -> None:
    root = folder({"b.jpg": "", "b.xml": XML, "a.jpg": "", "c/10.jpg": "", "c/10.xml": "<annotation/>"})
    images = voc_images(root, "train").images
    assert [(image.name, len(image.objects), image.image_id, image.size) for image in images] == [
        ("b.jpg", 1, 1, (40, 60)),
        ("c/10.jpg", 0, 2, (40, 60)),
    ]


def test_voc_images_with_xml_without_image_fails(folder: Files) -> None:
    with pytest.raises(UserError, match=r"images/a\.jpg: expected image a, found nothing"):
        voc_images(folder({"annotations/a.xml": XML, "images/b.jpg": ""}), "train")


def resolved_splits(root: Path, **settings: object) -> tuple[object, ...]:
    data = resolve_data(DataConfig.model_validate({"root": str(root), "format": "auto"} | settings))
    return data.format, data.train, data.val


def test_resolve_data_of_one_split_validates_on_a_fifth(folder: Files) -> None:
    root = folder({"boxes.csv": ""})
    assert resolved_splits(root) == ("csv", "boxes", 0.2)
    assert resolved_splits(root, format="csv") == ("csv", "boxes", 0.2)
    assert resolved_splits(root, val=0.5) == ("csv", "boxes", 0.5)
    assert resolved_splits(root, train="other") == ("csv", "other", 0.2)
    (root / "more.csv").write_text("")
    with pytest.raises(UserError, match=r"data\.train: expected one split for training in .*, found boxes, more: name"):
        resolved_splits(root)


@pytest.mark.parametrize(
    ("files", "train", "val"),
    [
        (["train", "val", "val2"], "train", "val"),
        (["my_train", "my_val", "my_test"], "my_train", "my_val"),
        (["train_images", "Validation", "test"], "train_images", "Validation"),
        (["train2017", "dev", "dev_small"], "train2017", "dev"),
        (["instances_train", "captions_train", "instances_val", "captions_val"], "instances_train", "instances_val"),
        (["val"], "val", 0.2),
        (["train", "test"], "train", 0.2),
        (["trainval", "test"], "trainval", 0.2),
        (["trainval", "val", "test"], "trainval", 0.2),
        (["boxes", "test"], "boxes", 0.2),
        (["boxes", "val"], "boxes", "val"),
    ],
)
def test_resolve_data_guesses_splits_by_name(folder: Files, files: list[str], train: str, val: object) -> None:
    assert resolved_splits(folder({f"{name}.csv": "" for name in files})) == ("csv", train, val)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["a", "b"], r"data\.train: expected one split for training in .*, found a, b: name one"),
        (["val", "test"], r"data\.train: expected one split for training in .*, found test, val: name one"),
        (["train_a", "train_b", "val"], r"data\.train: .*, found train_a, train_b: name one"),
        (
            ["my_train", "my_valid", "other_valid"],
            r"data\.val: .*, found my_valid, other_valid: name one by data\.val$",
        ),
    ],
)
def test_resolve_data_with_splits_in_doubt_fails(folder: Files, files: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolved_splits(folder({f"{name}.csv": "" for name in files}))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("_annotations.createml.json", [{"image": "a.jpg", "annotations": [{"label": "cat", "coordinates": {}}]}]),
        ("meta.json", {"classes": [{"title": "cat", "shape": "rectangle"}], "projectType": "images"}),
    ],
    ids=["CreateML", "Supervisely"],
)
def test_json_of_other_tools_is_not_taken_for_coco(folder: Files, name: str, content: object) -> None:
    root = folder({"a.jpg": "", name: json.dumps(content)})
    assert format_signs(root) == {}
    with pytest.raises(UserError, match=r"found 1 images and no labels that are known \(1 \.json in \.\)"):
        detect_format(root)


def test_resolve_data_of_roboflow_coco(folder: Files) -> None:
    root = folder({f"{split}/_annotations.coco.json": COCO for split in ("train", "valid", "test")})
    assert resolved_splits(root) == ("coco", "train/_annotations.coco", "valid/_annotations.coco")


def test_resolve_data_of_roboflow_voc(folder: Files) -> None:
    names = ("train/a", "train/b", "valid/a", "test/c")
    root = folder({f"{name}.{kind}": XML for name in names for kind in ("jpg", "xml")})
    assert resolved_splits(root) == ("voc", "train", "valid")
    assert [image.name for image in voc_images(root, "train").images] == ["train/a.jpg", "train/b.jpg"]
    assert [image.name for image in voc_images(root, "valid").images] == ["valid/a.jpg"]
    with pytest.raises(
        UserError, match=r"val: expected a folder .*\(did you mean \"valid\"\?\); splits: test, train, valid"
    ):
        voc_images(root, "val")
    scanned = scan_voc(root)
    assert [scanned.roles[image.file] for image in scanned.images] == [{"train"}, {"train"}, {"test"}, {"val"}]


def test_readers_ignore_macos_metadata_files(folder: Files) -> None:
    root = folder({"a.jpg": "", "a.xml": XML, "._a.xml": "", "Annotations/a.xml": XML, "Annotations/._a.xml": ""})
    (root / "images").mkdir()
    (root / "a.jpg").rename(root / "images/a.jpg")
    (root / "images/._a.jpg").write_bytes(b"")
    assert [image.name for image in voc_images(root, "train").images] == ["a.jpg"]
    assert [image.file.name for image in scan_voc(root).images] == ["a.jpg"]
    assert [path.name for path in FileIndex(root).files] == ["a.jpg"]


def test_reader_reports_images_without_xml(folder: Files) -> None:
    root = folder({"a.jpg": "", "a.xml": XML, "b.jpg": "", "sub/c.jpg": "", "._d.jpg": ""})

    def unlabelled() -> list[str]:
        report = strict_report()
        VocFolder(root, report, ImageSizes()).read_split("train")
        assert {finding.kind for finding in report.findings} <= {"unlabelled-image"}
        return [Path(finding.file).name for finding in report.findings]

    assert unlabelled() == ["b.jpg", "c.jpg"]
    for name in ("b", "sub/c"):
        (root / f"{name}.xml").write_text(XML)
    assert unlabelled() == []


def test_resolve_data_with_another_format_fails(folder: Files) -> None:
    root = folder({"data.yaml": "names: [a]"})
    with pytest.raises(UserError, match=r"data\.format: expected yolo, as .* has data\.yaml, found voc"):
        resolved_splits(root, format="voc")
    with pytest.raises(UserError, match=r"found shapes"):
        resolved_splits(root, format="shapes")
    (root / "boxes.csv").write_text("")
    with pytest.raises(UserError, match="expected one format, found yolo"):
        resolved_splits(root)
    assert resolved_splits(root, format="csv") == ("csv", "boxes", 0.2)


def test_resolve_data_without_folder_fails(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.format: expected data\.root to be a folder with auto, found .*gone"):
        resolved_splits(tmp_path / "gone")
    assert resolved_splits(tmp_path, format="shapes") == ("shapes", "train", "val")


def test_detect_format_of_real_folders(shared: Path) -> None:
    assert detect_format(shared / "data/bccd") == "voc"
    assert list(format_signs(shared / "data/coco_mini")) == ["coco"]
    assert list_splits("voc", shared / "data/bccd") == ["test", "train", "trainval", "val"]
