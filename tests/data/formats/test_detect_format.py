from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from detect.config.builders.resolve import settled_data, without_labels
from detect.config.data import DataConfig
from detect.data.formats.detect_format import found_format, lists_of, traces
from detect.data.formats.voc import voc_images
from detect.data.formats.yolo import images_at
from detect.data.inspect.scan_voc import read_voc_survey
from detect.errors import UserError
from tests.data.folders import coco_document, voc_object, write_image

BOX = "0 0.5 0.5 1 1"
XML = f"<annotation>{voc_object('cat', 1, 1, 9, 9)}</annotation>"
COCO = json.dumps({"info": "x"} | coco_document([], images=[]))
NOTES = json.dumps({"categories": [{"id": 0, "name": "cat"}], "info": {"contributor": "Label Studio"}})
Files = Callable[[dict[str, str]], Path]


@pytest.fixture
def folder(tmp_path: Path) -> Files:
    """Files by name and content, and an image for each name that ends in .jpg."""

    def write(files: dict[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text) if path.suffix != ".jpg" else write_image(path)
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("files", "found", "lists"),
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
        ({"classes.txt": "cat", "a.jpg": "", "a.txt": BOX}, "yolo", ["train"]),
        ({"labels/classes.txt": "cat", "images/a.jpg": "", "labels/a.txt": BOX}, "yolo", ["train"]),
        ({"obj.names": "cat", "obj.data": "", "obj_train_data/a.jpg": ""}, "yolo", ["train"]),
        ({"classes.txt": "cat", "notes.json": NOTES, "images/a.jpg": "", "labels/a.txt": BOX}, "yolo", ["train"]),
        ({"a.json": '{"categories": [' + " " * (1 << 16) + "]}"}, "coco", ["a"]),
        ({"boxes.csv": "", "a.jpg": ""}, "csv", ["boxes"]),
    ],
    ids=[
        "XML beside",
        "in a sub folder",
        "in folders named for their split",
        "in a folder that trains nothing",
        "in folders named for their class",
        "XML apart",
        "VOC",
        "COCO",
        "COCO's own",
        "YOLO",
        "labelImg's YOLO",
        "labelImg's YOLO apart",
        "CVAT's YOLO",
        "Label Studio's YOLO",
        "many categories",
        "CSV",
    ],
)
def test_format_and_lists(folder: Files, files: dict[str, str], found: str, lists: list[str]) -> None:
    root = folder(files)
    assert found_format(root) == found
    assert lists_of(found_format(root), root) == lists


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "expected VOC .*, found 0 images and no labels"),
        ({"a.jpg": "", "sub/b.jpg": "", "notes.json": "{}"}, "found 2 images and no labels"),
        ({"a.csv": "", "a.jpg": "", "a.xml": XML}, r"expected one format, found voc \(a\.xml\) and csv \(a\.csv\)"),
    ],
)
def test_in_doubt(folder: Files, files: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        found_format(folder(files))


CVAT = '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version></annotations>'


@pytest.mark.parametrize("read", [found_format, read_voc_survey, lambda root: voc_images(root, "train")])
def test_cvats_own_xml_is_told_apart(folder: Files, read: Callable[[Path], object]) -> None:
    root = folder({"annotations.xml": CVAT, "images/a.jpg": ""})
    with pytest.raises(UserError, match=r"annotations\.xml: .* CVAT's own XML: export .* as Pascal VOC or COCO$"):
        read(root)


def test_a_image_named_annotations_is_none_of_cvats(folder: Files) -> None:
    root = folder({"annotations.xml": XML, "annotations.jpg": ""})
    assert found_format(root) == "voc"
    assert len(voc_images(root, "train").images) == 1


def test_images_without_xml_are_not_of_the_data_set(folder: Files) -> None:
    root = folder({"b.jpg": "", "b.xml": XML, "a.jpg": "", "c/10.jpg": "", "c/10.xml": "<annotation/>"})
    images = voc_images(root, "train").images
    assert [(image.name, len(image.objects), image.image_id, image.size) for image in images] == [
        ("b.jpg", 1, 1, (40, 60)),
        ("c/10.jpg", 0, 2, (40, 60)),
    ]


def test_xml_without_image(folder: Files) -> None:
    with pytest.raises(UserError, match=r"images/a\.jpg: expected image a, found nothing"):
        voc_images(folder({"annotations/a.xml": XML, "images/b.jpg": ""}), "train")


def settle(root: Path, **settings: object) -> tuple[object, ...]:
    data = settled_data(DataConfig.model_validate({"root": str(root), "format": "auto"} | settings))
    return data.format, data.train, data.val


def test_one_list_gives_a_fifth_for_validation(folder: Files) -> None:
    root = folder({"boxes.csv": ""})
    assert settle(root) == ("csv", "boxes", 0.2)
    assert settle(root, format="csv") == ("csv", "boxes", 0.2)
    assert settle(root, val=0.5) == ("csv", "boxes", 0.5)
    assert settle(root, train="other") == ("csv", "other", 0.2)
    (root / "more.csv").write_text("")
    assert settle(root) == ("csv", "train", "val")


@pytest.mark.parametrize(
    ("files", "train", "val"),
    [
        (["train", "val", "val2"], "train", "val"),
        (["my_train", "my_val", "my_test"], "my_train", "my_val"),
        (["my_train", "my_valid", "other_valid"], "my_train", "val"),
        (["val"], "val", 0.2),
        (["a", "b"], "train", "val"),
    ],
)
def test_lists_by_their_role(folder: Files, files: list[str], train: str, val: object) -> None:
    assert settle(folder({f"{name}.csv": "" for name in files})) == ("csv", train, val)


def test_roboflow_coco(folder: Files) -> None:
    root = folder({f"{split}/_annotations.coco.json": COCO for split in ("train", "valid", "test")})
    assert settle(root) == ("coco", "train/_annotations.coco", "valid/_annotations.coco")


def test_roboflow_voc(folder: Files) -> None:
    names = ("train/a", "train/b", "valid/a", "test/c")
    root = folder({f"{name}.{kind}": XML for name in names for kind in ("jpg", "xml")})
    assert settle(root) == ("voc", "train", "valid")
    assert [image.name for image in voc_images(root, "train").images] == ["train/a.jpg", "train/b.jpg"]
    assert [image.name for image in voc_images(root, "valid").images] == ["valid/a.jpg"]
    with pytest.raises(
        UserError, match=r"val: expected a folder .*\(did you mean \"valid\"\?\); lists: test, train, valid"
    ):
        voc_images(root, "val")
    assert [image.splits for image in read_voc_survey(root).images] == [{"test"}, {"train"}, {"train"}, {"val"}]


def test_what_a_mac_keeps_beside_a_image_is_none(folder: Files) -> None:
    root = folder({"a.jpg": "", "a.xml": XML, "._a.xml": "", "Annotations/a.xml": XML, "Annotations/._a.xml": ""})
    (root / "images").mkdir()
    (root / "a.jpg").rename(root / "images/a.jpg")
    (root / "images/._a.jpg").write_bytes(b"")
    assert [image.name for image in voc_images(root, "train").images] == ["a.jpg"]
    assert [image.image.name for image in read_voc_survey(root).images] == ["a.jpg"]
    assert [place.name for _, place in images_at(root, root)] == ["a.jpg"]


def test_images_without_xml_are_counted(folder: Files) -> None:
    files = {"a.jpg": "", "a.xml": XML, "b.jpg": "", "sub/c.jpg": "", "._d.jpg": ""}
    root = folder(files)
    assert without_labels(DataConfig(format="voc", root=str(root))) == 2
    assert without_labels(DataConfig(format="yolo", root=str(root))) == 0
    for name in ("b", "sub/c"):
        (root / f"{name}.xml").write_text(XML)
    assert without_labels(DataConfig(format="voc", root=str(root))) == 0


def test_another_format_than_the_one_set(folder: Files) -> None:
    root = folder({"data.yaml": "names: [a]"})
    with pytest.raises(UserError, match=r"data\.format: expected yolo, as .* has data\.yaml, found voc"):
        settle(root, format="voc")
    with pytest.raises(UserError, match=r"found shapes"):
        settle(root, format="shapes")
    (root / "boxes.csv").write_text("")
    with pytest.raises(UserError, match="expected one format, found yolo"):
        settle(root)
    assert settle(root, format="csv") == ("csv", "boxes", 0.2)


def test_auto_without_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.format: expected data\.root to be a folder with auto, found .*gone"):
        settle(tmp_path / "gone")
    assert settle(tmp_path, format="shapes") == ("shapes", "train", "val")


def test_real_folders(shared: Path) -> None:
    assert found_format(shared / "data/bccd") == "voc"
    assert list(traces(shared / "data/coco_mini")) == ["coco"]
    assert lists_of("voc", shared / "data/bccd") == ["test", "train", "trainval", "val"]
