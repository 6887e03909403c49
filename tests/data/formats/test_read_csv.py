from __future__ import annotations

from pathlib import Path

import pytest

from detect.data.annotations import Annotations
from detect.data.formats.csv_files import read_csv
from detect.errors import UserError
from tests.data.folders import write_image

HEADER = "file,label,x1,y1,x2,y2\n"


def read(root: Path, text: str, classes: list[str] | None = None) -> Annotations:
    for name in ("a.jpg", "b.jpg", "sub/c, d.jpg"):
        write_image(root / name)
    (root / "labels.csv").write_text(text, encoding="utf-8")
    return read_csv(root / "labels.csv", [root / "elsewhere", root], classes)


@pytest.mark.parametrize(
    ("text", "files", "boxes", "names"),
    [
        ("", [], [], []),
        (HEADER, [], [], []),
        ("a.jpg,,,,,\n", ["a.jpg"], [], []),
        ("a.jpg,cat,1,2,3,4\n", ["a.jpg"], [[1, 2, 3, 4]], ["cat"]),
        (HEADER + "a.jpg,cat,1,2,3.5,4\n", ["a.jpg"], [[1, 2, 3.5, 4]], ["cat"]),
        ("\ufeffX1,file,y1,label,x2,y2\r\n1,a.jpg,2,cat,3,4\r\n", ["a.jpg"], [[1, 2, 3, 4]], ["cat"]),
        (
            "b.jpg,dog,1,2,3,4\na.jpg,,,,,\n\nb.jpg,cat,5,6,7,8\n",
            ["b.jpg", "a.jpg"],
            [[1, 2, 3, 4], [5, 6, 7, 8]],
            ["dog", "cat"],
        ),
        ('"sub/c, d.jpg","a ""big"" dog",-1,2,3,4\n', ["sub/c, d.jpg"], [[-1, 2, 3, 4]], ['a "big" dog']),
        ('"sub\\c, d.jpg",cat,0,2,3,4\n', ["sub/c, d.jpg"], [[0, 2, 3, 4]], ["cat"]),
        ("a.jpg;a, b;1;2;3;4\r\n", ["a.jpg"], [[1, 2, 3, 4]], ["a, b"]),
        (HEADER.replace(",", "\t") + "sub/c, d.jpg\tcat\t0\t2\t3\t4\n", ["sub/c, d.jpg"], [[0, 2, 3, 4]], ["cat"]),
    ],
    ids=[
        "empty",
        "header alone",
        "no objects",
        "no header",
        "header",
        "columns in any order",
        "apart",
        "quotes",
        "Windows",
        "semicolons",
        "tabs",
    ],
)
def test_read_csv_of_valid_rows(
    tmp_path: Path, text: str, files: list[str], boxes: list[list[float]], names: list[str]
) -> None:
    annotations = read(tmp_path, text)
    assert [annotations.file(i) for i in range(len(annotations))] == [str(tmp_path / name) for name in files]
    assert annotations.boxes.tolist() == boxes
    assert [annotations.classes[label - 1] for label in annotations.labels] == names
    assert annotations.classes == tuple(sorted(annotations.classes))
    assert annotations.image_ids.tolist() == list(range(1, len(files) + 1))


def test_read_csv_with_flags(tmp_path: Path) -> None:
    annotations = read(
        tmp_path, HEADER.strip() + ",difficult,iscrowd\na.jpg,cat,1,2,3,4,1,0\na.jpg,cat,1,2,3,4,,1\na.jpg,,,,,,,\n"
    )
    assert (annotations.difficult.tolist(), annotations.crowd.tolist()) == ([True, False], [False, True])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("3,2,3,4", "without extent: 3 2 3 4"),
        ("1,2,inf,4", "not finite"),
        ("60,2,70,4", "outside its 60 x 40 image"),
    ],
)
def test_read_csv_drops_and_reports_invalid_boxes(tmp_path: Path, row: str, reason: str) -> None:
    annotations = read(tmp_path, HEADER + f"a.jpg,cat,{row}\na.jpg,dog,1,2,3,4\n")
    assert (len(annotations), annotations.labels.tolist(), annotations.classes) == (1, [1], ("dog",))
    assert str(annotations.dropped[0]).startswith(f"{tmp_path}/labels.csv: line 2 (cat): ")
    assert reason in str(annotations.dropped[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg cat 1 2 3 4\n", r"line 1: expected 6 fields \(file,label,x1,y1,x2,y2\), found 1: a\.jpg cat 1 2 3 4$"),
        (
            "filename,width,class,xmin\n",
            'line 1: expected the columns .*, or those of another tool, found "y1" 0 times',
        ),
        ("a.jpg,cat,1,2,3,4\na.jpg,cat,1,2,3\n", r"line 2: expected 6 fields .* found 5: a.jpg,cat,1,2,3$"),
        ("a.jpg,cat,1,2,3,4\na.jpg,cat,1,two,3,4\n", r'line 2: y1: expected a number, found "two"'),
        ("a.jpg,cat,1,2,3,4\na.jpg,,1,2,3,4\n", "line 2: expected a label, found nothing"),
        ("a.jpg,cat,1,2,3,4\n,cat,1,2,3,4\n", "line 2: expected the file of an image, found nothing"),
        ("file,label,xmin,ymin,xmax,difficult\n", 'line 1: expected the columns .*, found "y2" 0 times'),
        ("file,label,x1,y1,x2,y2,dificult\n", r'found "dificult" \(did you mean "difficult"\?\)'),
        ("file,lable,x1,y1,x2,y2\n", r'found "lable" \(did you mean "label"\?\)'),
        ("file,label,x1,y1,x2\n", 'found "y2" 0 times'),
        ("file,label,x1,y1,x2,y2,x1\n", 'found "x1" 2 times'),
        ("picture,kind,a,b,c,d\n", 'found "picture"'),
        (HEADER.strip() + ",difficult\na.jpg,cat,1,2,3,4,yes\n", 'line 2: difficult: expected 0 or 1, found "yes"'),
        (HEADER + '"a.jpg,cat,1,2,3,4\n', "expected rows file,label,x1,y1,x2,y2, found unexpected end of data"),
        (HEADER + "gone.jpg,cat,1,2,3,4\n", r"gone\.jpg: expected the image of .*labels\.csv, line 2, found nothing"),
    ],
)
def test_read_csv_of_damaged_file_fails(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, text)


def test_read_csv_with_unknown_class_fails(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'labels\.csv: line 2: expected one of 1 classes, found "cta" .*"cat"'):
        read(tmp_path, HEADER + "a.jpg,cta,1,2,3,4\n", ["cat"])


def test_read_csv_of_other_encoding_fails(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(b"a.jpg,c\xe9,1,2,3,4\n")
    with pytest.raises(UserError, match=r"labels\.csv: expected text in UTF-8, found byte 0xe9"):
        read_csv(tmp_path / "labels.csv", [tmp_path], None)
