from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from detect.data.formats.voc import read_voc
from detect.errors import UnreadableImage, UserError
from tests.data.folders import voc_object

Voc = Callable[..., Path]
PART = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"


@pytest.mark.parametrize(
    ("objects", "boxes"),
    [
        ("", []),
        (voc_object("cat", 1, 1, 60, 40), [[0, 0, 60, 40]]),
        (voc_object("cat", 11, 21, 30, 40), [[10, 20, 30, 40]]),
        (voc_object("cat", "45.70000076293945", " 3 ", 50, 9), [[44.70000076293945, 2, 50, 9]]),
        (voc_object("cat", 5, 6, 7, 8, extra=""), [[4, 5, 7, 8]]),
        (voc_object("cat", 5, 6, 7, 8, extra=PART), [[4, 5, 7, 8]]),
        (voc_object("cat", -5, 6, 70, 80), [[-6, 5, 70, 80]]),
    ],
    ids=["none", "whole image", "inclusive", "floats", "missing tags", "parts", "reaching outside"],
)
def test_read_voc_of_valid_boxes(voc: Voc, objects: str, boxes: list[list[float]]) -> None:
    annotations = read_voc(voc({"a": objects}), "train", ["cat"])
    assert len(annotations) == 1
    assert annotations[0].boxes.tolist() == boxes
    assert annotations[0].areas.tolist() == [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in boxes]
    assert annotations.dropped == ()


@pytest.mark.parametrize(
    ("corners", "reason"),
    [
        ((5, 6, 5, 8), "without extent: 5 6 5 8"),
        ((5, 6, 4, 8), "without extent"),
        ((5, 8, 9, 8), "without extent"),
        ((5, "nan", 9, 8), "not finite"),
        ((5, 6, "inf", 8), "not finite"),
        ((5, 6, "wide", 8), "not finite"),
        ((61, 6, 70, 8), "outside its 60 x 40 image"),
        ((-9, 6, 0, 8), "outside"),
        ((5, 41, 9, 50), "outside"),
    ],
)
def test_read_voc_drops_and_reports_invalid_boxes(voc: Voc, corners: tuple[object, ...], reason: str) -> None:
    root = voc({"a": voc_object("dog", 1, 1, 9, 9) + voc_object("cat", *corners)})
    annotations = read_voc(root, "train", ["cat", "dog"])
    assert annotations[0].labels.tolist() == [2]
    (dropped,) = annotations.dropped
    assert str(dropped).startswith(f"{root}/Annotations/a.xml: object 2 (cat): ")
    assert reason in str(dropped)


def test_read_voc_drops_and_reports_incomplete_box(voc: Voc) -> None:
    annotations = read_voc(voc({"a": "<object><name>cat</name></object>"}), "train", None)
    assert (len(annotations), len(annotations.labels)) == (1, 0)
    assert "no complete <bndbox>" in str(annotations.dropped[0])


def test_read_voc_sorts_classes_and_reads_difficult(voc: Voc) -> None:
    hard = voc_object("dog", 1, 1, 9, 9, extra="<difficult>1</difficult>")
    odd = voc_object("ant", 1, 1, 9, 9, extra="<difficult>Unspecified</difficult>")
    annotations = read_voc(voc({"a": hard + odd, "b": "", "c": voc_object("cat", 1, 1, 9, 9)}), "train", None)
    assert annotations.classes == ("ant", "cat", "dog")
    assert annotations.labels.tolist() == [3, 1, 2]
    assert annotations.difficult.tolist() == [True, False, False]
    assert annotations.offsets.tolist() == [0, 2, 2, 3]
    assert annotations.category_ids.tolist() == [1, 2, 3]
    assert not annotations.crowd.any()


@pytest.mark.parametrize(
    ("stems", "ids"),
    [
        ([], []),
        (["000012", "000007"], [12, 7]),
        (["b", "a"], [1, 2]),
        (["000012", "2008_000003"], [1, 2]),
        (["12", "012"], [1, 2]),
    ],
)
def test_read_voc_image_ids(voc: Voc, stems: list[str], ids: list[int]) -> None:
    annotations = read_voc(voc(dict.fromkeys(stems, "")), "train", ["cat"])
    assert annotations.image_ids.tolist() == ids
    assert [Path(annotations.file(i)).name for i in range(len(annotations))] == [f"{stem}.jpg" for stem in stems]


def test_read_voc_of_class_split_gives_all_its_images(voc: Voc) -> None:
    root = voc({"a": "", "b": ""})
    (root / "ImageSets/Main/cat_train.txt").write_text("a -1\n\nb  1\n")
    assert len(read_voc(root, "cat_train", ["cat"])) == 2


@pytest.mark.parametrize("size", ["<size/>", "<size><width>0</width><height>0</height></size>", "<other/>"])
def test_read_voc_without_size_reads_the_image(voc: Voc, size: str) -> None:
    assert read_voc(voc({"a": ""}, size=size), "train", ["cat"]).size(0) == (40, 60)


def test_read_voc_without_size_and_image_fails(voc: Voc) -> None:
    root = voc({"a": ""}, size="<size/>")
    (root / "JPEGImages/a.jpg").write_bytes(b"no image")
    with pytest.raises(UnreadableImage, match=r"a\.jpg: expected an image"):
        read_voc(root, "train", None)


def test_read_voc_of_unknown_split_fails(voc: Voc) -> None:
    root = voc({"a": ""})
    with pytest.raises(UserError, match=r'trian\.txt: .*\(did you mean "train"\?\); splits: train$'):
        read_voc(root, "trian", None)


def test_read_voc_with_unknown_class_fails(voc: Voc) -> None:
    root = voc({"a": voc_object("dog", 1, 1, 9, 9) + voc_object("cta", 1, 1, 9, 9)})
    with pytest.raises(
        UserError, match=r'a\.xml: object 2: expected one of 2 classes, found "cta" \(did you mean "cat"'
    ):
        read_voc(root, "train", ["cat", "dog"])


BOMB = '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><annotation>&c;</annotation>'


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("Annotations/a.xml", None, "a.xml: expected the annotation of image a, found nothing"),
        ("Annotations/a.xml", "<annotation>", "a.xml: expected a VOC annotation, found damaged XML"),
        ("Annotations/a.xml", "", "damaged XML"),
        ("Annotations/a.xml", BOMB, "damaged XML"),
        ("Annotations/a.xml", "<annotation><object/></annotation>", "object 1: expected a <name>"),
        ("JPEGImages/a.jpg", None, "a.jpg: expected image a, found nothing"),
        ("ImageSets/Main/train.txt", "a\na\n", "train.txt: expected each image once, found a twice"),
    ],
)
def test_read_voc_of_damaged_folder_fails(voc: Voc, path: str, content: str | None, message: str) -> None:
    root = voc({"a": ""})
    (root / path).unlink()
    if content is not None:
        (root / path).write_text(content)
    with pytest.raises(UserError) as raised:
        read_voc(root, "train", None)
    assert message in str(raised.value)
    assert str(root) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "mac-arabic"])
def test_entities_are_never_expanded_in_any_encoding(voc: Voc, encoding: str) -> None:
    root = voc({"a": ""})
    content = f'<?xml version="1.0" encoding="{encoding}"?>{BOMB}'.encode(encoding)
    if encoding == "mac-arabic":  # it has a second "!", which no search for the first finds
        content = content.replace(b"!", b"\xa1")
    (root / "Annotations/a.xml").write_bytes(content)
    with pytest.raises(UserError, match="expected a VOC annotation"):
        read_voc(root, "train", None)


def test_read_voc_of_missing_folder_fails(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a VOC folder, found nothing"):
        read_voc(tmp_path / "nothing", "train", None)


def test_read_voc_with_png_images(voc: Voc) -> None:
    root = voc({"a": ""})
    (root / "JPEGImages/a.jpg").rename(root / "JPEGImages/a.png")
    assert read_voc(root, "train", None).file(0).endswith("a.png")


@pytest.mark.slow
def test_read_voc_of_voc2007(shared: Path) -> None:
    root = shared / "data/VOCdevkit/VOC2007"
    train, val = (read_voc(root, name, None) for name in ("train", "val"))
    assert (len(train), len(val), len(train.classes)) == (2501, 2510, 20)
    assert len(train.labels) + len(val.labels) == 15_662
    assert int(train.difficult.sum() + val.difficult.sum()) == 3054
    assert train.image_ids[:2].tolist() == [12, 17]
    assert np.bincount(train.labels)[1:].min() > 0


def test_read_voc_of_bccd_reports_two_boxes(shared: Path) -> None:
    annotations = read_voc(shared / "data/bccd", "trainval", None)
    assert annotations.classes == ("Platelets", "RBC", "WBC")
    assert [Path(box.file).name for box in annotations.dropped] == ["BloodImage_00338.xml", "BloodImage_00343.xml"]
