from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from detect.data.formats.read_folder import list_splits
from detect.data.formats.yolo import label_file, read_yolo
from detect.errors import UserError
from tests.data.folders import write_image

Yolo = Callable[..., Path]
NAMES = "names: [cat, dog]\n"
BOX = "0 0.5 0.5 1 1"


@pytest.fixture
def yolo(tmp_path: Path) -> Yolo:
    """Write a YOLO folder: image (below images/, 60 x 40) -> its label file; None: no file."""

    def write(labels: Mapping[str, str | None], data: str = "train: images\n" + NAMES) -> Path:
        for name, text in labels.items():
            write_image(tmp_path / "images" / name)
            if text is not None:
                file = (tmp_path / "labels" / name).with_suffix(".txt")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
        if data:
            (tmp_path / "data.yaml").write_text(data)
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("text", "boxes", "labels"),
    [
        ("", [], []),
        (None, [], []),
        ("\n \n", [], []),
        ("0 0.5 0.5 1 1", [[0, 0, 60, 40]], [1]),
        ("1 0.5 0.5 0.5 0.5\n0 0.25 0.5 0.1 0.1\n", [[15, 10, 45, 30], [12, 18, 18, 22]], [2, 1]),
        ("1.0 0 0 0.5 0.5", [[-15, -10, 15, 10]], [2]),
        ("0 0.1 0.2 0.5 0.9 0.3 0.1", [[6, 4, 30, 36]], [1]),
        ("0 0.1 0.2 0.5 0.9 0.3 1", [[6, 8, 30, 40]], [1]),
        ("\ufeff0 0.5 0.5 1 1\r\n", [[0, 0, 60, 40]], [1]),
    ],
    ids=[
        "empty",
        "no file",
        "blank",
        "whole",
        "two",
        "reaching outside",
        "polygon",
        "polygon to the edge",
        "from Windows",
    ],
)
def test_read_yolo_of_valid_boxes(yolo: Yolo, text: str | None, boxes: list[list[float]], labels: list[int]) -> None:
    annotations = read_yolo(yolo({"a.jpg": text, "b.jpg": "1 0.5 0.5 1 1"}), "train", None)
    assert annotations[0].boxes.tolist() == boxes
    assert annotations[0].labels.tolist() == labels
    assert (annotations.classes, annotations.category_ids.tolist(), annotations.image_ids.tolist()) == (
        ("cat", "dog"),
        [1, 2],
        [1, 2],
    )
    assert annotations[0].size == (40, 60)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 0.5 0.5 0 0.1", "without extent"),
        ("0 0.5 0.5 0.1 inf", "not finite"),
        ("0 1.5 0.5 0.1 0.1", "outside its 60 x 40 image"),
        ("0 30 20 10 10", "not in fractions: 30 20 10 10"),
    ],
)
def test_read_yolo_drops_and_reports_invalid_boxes(yolo: Yolo, line: str, reason: str) -> None:
    root = yolo({"a.jpg": f"1 0.5 0.5 1 1\n{line}\n"})
    annotations = read_yolo(root, "train", None)
    assert annotations[0].labels.tolist() == [2]
    assert str(annotations.dropped[0]).startswith(f"{root}/labels/a.txt: line 2 (cat): ")
    assert reason in str(annotations.dropped[0])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 1", r"expected class cx cy w h, or .* found 4 fields$"),
        ("0 0.5 0.5 1 1 0.9", r"expected .* found 6 fields \(a score\? results are no labels\)"),
        ("0 0.5 0.5 1 1 0.9 2", r"expected .* found 7 fields \(a score and the number of a track\? results are no"),
        ("2 0.5 0.5 1 1", "expected a class from 0 to 1, found 2"),
        ("-1 0.5 0.5 1 1", "expected a class from 0 to 1, found -1"),
        ("cat 0.5 0.5 1 1", "expected a class from 0 to 1, found cat"),
        ("0 0.5 0,5 1 1", "expected numbers, found 0,5"),
    ],
)
def test_read_yolo_of_damaged_line_fails(yolo: Yolo, line: str, message: str) -> None:
    root = yolo({"a.jpg": f"0 0.5 0.5 1 1\n{line}\n"})
    with pytest.raises(UserError, match=rf"labels/a\.txt: line 2: {message}"):
        read_yolo(root, "train", None)


@pytest.mark.parametrize(
    ("data", "split", "images"),
    [
        ("train: images/t\nval: images/v\n", "train", ["t/1.jpg", "t/2.jpg"]),
        ("train: images/t\nval: images/v\n", "val", ["v/3.jpg"]),
        ("train: [images/v, images/t]\n", "train", ["v/3.jpg", "t/1.jpg", "t/2.jpg"]),
        ("train: list.txt\n", "train", ["t/2.jpg", "v/3.jpg"]),
        ("minival: list.txt\n", "minival", ["t/2.jpg", "v/3.jpg"]),
        ("path: images\ntrain: t\n", "train", ["t/1.jpg", "t/2.jpg"]),
        ("path: ../elsewhere\ntrain: images/t\n", "train", ["t/1.jpg", "t/2.jpg"]),
        ("train: ../images/t\n", "train", ["t/1.jpg", "t/2.jpg"]),
    ],
    ids=["folder", "val", "several", "list", "further list", "path", "moved", "Roboflow"],
)
def test_read_yolo_of_any_split(yolo: Yolo, data: str, split: str, images: list[str]) -> None:
    root = yolo({"t/2.jpg": BOX, "t/1.jpg": None, "v/3.jpg": BOX}, data + NAMES)
    (root / "list.txt").write_text(f"./images/t/2.jpg\n\n{root}/images/v/3.jpg\nimages/t/2.jpg\n")
    annotations = read_yolo(root, split, None)
    assert [annotations.file(i) for i in range(len(annotations))] == [str(root / "images" / image) for image in images]
    assert annotations.image_ids.tolist() == [int(Path(image).stem) for image in images]


@pytest.mark.parametrize("names", ["names: {1: dog, 0: cat}\n", "nc: 2\nnames:\n- cat\n- dog\n"])
def test_read_yolo_of_any_names(yolo: Yolo, names: str) -> None:
    root = yolo({"a.jpg": "1 0.5 0.5 1 1"}, "train: images\n" + names)
    assert read_yolo(root, "train", None).classes == ("cat", "dog")
    assert read_yolo(root, "train", ["dog"]).labels.tolist() == [1]


def test_read_yolo_with_unknown_class_fails(yolo: Yolo) -> None:
    with pytest.raises(UserError, match=r'a\.txt: line 1: expected one of 1 classes, found "dog"'):
        read_yolo(yolo({"a.jpg": "1 0.5 0.5 1 1"}), "train", ["cat"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("train: images\n", r"data\.yaml: expected names, found nothing$"),
        ("train: images\nname: [a]\n", r'expected names, found nothing \(did you mean "name"\?\)'),
        ("[", r"data\.yaml: expected YAML, found"),
        ("3", "expected names and the splits train and val, found int"),
        ("names: []\n", "names: expected class names"),
        ("names: {0: a, 2: b}\n", "names: expected the numbers 0 to 1"),
        ("names: [a, b, a]\n", 'expected each name once, found "a" twice'),
        ("nc: 3\n" + NAMES, "nc: expected 2, the number of names, found 3"),
        ("val: images\n" + NAMES, r"expected train, found nothing; splits: val"),
        ("train: 3\n" + NAMES, "train: expected a folder"),
        ("train: imags\n" + NAMES, "train: expected a folder of images or a list, found nothing at .*imags"),
        ("train: empty\n" + NAMES, "train: expected images in .*empty, found none"),
        ("train: list.txt\n" + NAMES, r"gone\.jpg: expected the image of .*list\.txt, line 2, found nothing"),
    ],
)
def test_read_yolo_of_damaged_data_file_fails(yolo: Yolo, data: str, message: str) -> None:
    root = yolo({"a.jpg": ""}, data)
    (root / "empty").mkdir()
    (root / "list.txt").write_text("images/a.jpg\nimages/gone.jpg\n")
    with pytest.raises(UserError, match=message):
        read_yolo(root, "train", None)


def test_read_yolo_without_any_labels_fails(yolo: Yolo) -> None:
    with pytest.raises(UserError, match=r"labels/a\.txt: expected the labels of a\.jpg, found none for 2 images"):
        read_yolo(yolo({"a.jpg": None, "b.jpg": None}), "train", None)


def test_read_yolo_without_data_file_fails(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.yaml: expected YOLO's names and splits, found nothing"):
        read_yolo(tmp_path, "train", None)


def test_read_yolo_with_labels_beside_images_and_classes_txt(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    (tmp_path / "a.txt").write_text("1 0.5 0.5 1 1")
    (tmp_path / "classes.txt").write_text("cat\ndog\n\n")
    assert list_splits("yolo", tmp_path) == ["train"]
    annotations = read_yolo(tmp_path, "train", None)
    assert (annotations.classes, annotations.labels.tolist(), len(annotations)) == (("cat", "dog"), [2], 1)


@pytest.mark.parametrize("file", ["classes.txt", "labels/classes.txt", "obj.names"])
def test_read_yolo_of_names_written_on_windows(yolo: Yolo, file: str) -> None:
    root = yolo({"a.jpg": BOX}, "")
    (root / file).write_text("\ufeffcat\r\ndog\r\n", encoding="utf-8")
    assert read_yolo(root, "train", None).classes == ("cat", "dog")
    (root / file).write_bytes(b"caf\xe9\n")
    with pytest.raises(UserError, match=f"{file}: expected text in UTF-8, found byte 0xe9"):
        read_yolo(root, "train", None)


def test_read_yolo_of_files_written_on_windows(yolo: Yolo) -> None:
    root = yolo({"a.jpg": BOX}, "\ufefftrain: list.txt\r\n" + NAMES)
    (root / "list.txt").write_text("\ufeffimages/a.jpg\r\n", encoding="utf-8")
    assert read_yolo(root, "train", None).file(0) == str(root / "images/a.jpg")


NAMES_AS_SPELLED = [
    ("[cat, 12 mm]", ["cat", "12 mm"]),
    ("[1, 2]", ["1", "2"]),
    ("[0, -3, 1.5, 10.0]", ["0", "-3", "1.5", "10.0"]),
    ("{0: 7, 1: 10}", ["7", "10"]),
    ("{0: 7, 0x1: 10}", ["7", "10"]),
    ("{0: 7, '1': 10}", ["7", "10"]),
    ("\n- 7\n- 008", ["7", "008"]),  # no number in base 8
    ("['007', \"1e3\", !!str 0x1F]", ["007", "1e3", "0x1F"]),
]


@pytest.mark.parametrize(("names", "expected"), NAMES_AS_SPELLED)
def test_names_that_are_numbers_are_kept_as_they_are_spelled(yolo: Yolo, names: str, expected: list[str]) -> None:
    annotations = read_yolo(yolo({"a.jpg": BOX}, f"train: images\nnames: {names}\n"), "train", None)
    assert list(annotations.classes) == expected


MISREAD_NAMES = [
    ("[cat, 010]", "010", "8"),
    ("[007]", "007", "7"),
    ("[7, 007]", "007", "7"),
    ("[0x1F]", "0x1F", "31"),
    ("[0b11]", "0b11", "3"),
    ("[12:30]", "12:30", "750"),
    ("[1e3]", "1e3", "1000.0"),
    ("[2E5, 010]", "2E5", "200000.0"),
    ("[1_000]", "1_000", "1000"),
    ("[+5]", "+5", "5"),
    ("[1.10]", "1.10", "1.1"),
    ("[.5]", ".5", "0.5"),
    ("[.inf]", ".inf", "inf"),
    ("{0: cat, 1: 010}", "010", "8"),
    ("\n  0: cat\n  1: 1e3", "1e3", "1000.0"),
    ("&n [cat, 010]\nother: *n", "010", "8"),
    ("{<<: {0: cat, 1: 010}}", "010", "8"),
]


@pytest.mark.parametrize(("names", "spelled", "number"), MISREAD_NAMES)
def test_names_that_yaml_reads_as_numbers_of_another_spelling_are_refused(
    yolo: Yolo, names: str, spelled: str, number: str
) -> None:
    root = yolo({"a.jpg": BOX}, f"train: images\nnames: {names}\n")
    found = f"found {spelled}, which YAML reads as {number}: put such names in quotes"
    with pytest.raises(UserError, match=re.escape(f"{root}/data.yaml: names: expected text, {found}") + "$"):
        read_yolo(root, "train", None)


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        ("/d/images/a.jpg", "/d/labels/a.txt"),
        ("/images/x/images/y/a.b.png", "/images/x/labels/y/a.b.txt"),
        ("/d/a.jpg", "/d/a.txt"),
        ("/d/my_images/images.jpg", "/d/my_images/images.txt"),
    ],
)
def test_label_file(image: str, labels: str) -> None:
    assert label_file(Path(image)) == Path(labels)
