"""CSV of many tools: the columns are known by their names, and every command reads the same boxes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detect.data.formats.csv_columns import parse_header
from detect.data.inspect.inspector import scan_folder
from detect.errors import UserError
from tests.data.cases.readers import READERS, Boxes
from tests.data.cases.write_cases import BOX, HEIGHT, WIDTH, Box, write_files

many = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
Row = tuple[str, str, Box]  # stem of an image, class, box

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c d"]),
        st.sampled_from(["cat", "big dog", "käse, Ж", "7"]),
        st.tuples(st.integers(0, 40), st.integers(0, 30), st.integers(41, WIDTH), st.integers(31, HEIGHT)),
    ),
    min_size=1,
    max_size=4,
    unique=True,
)


def _table(header: str, rows: Sequence[Sequence[object]], delimiter: str = ",") -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter)
    writer.writerow(header.split(","))
    writer.writerows(rows)
    return stream.getvalue()


def _tensorflow(rows: Sequence[Row]) -> str:
    header = "filename,width,height,class,xmin,ymin,xmax,ymax"
    return _table(header, [(f"{stem}.png", WIDTH, HEIGHT, name, *box) for stem, name, box in rows])


def _vott(rows: Sequence[Row]) -> str:
    return _table("image,xmin,ymin,xmax,ymax,label", [(f"{stem}.png", *box, name) for stem, name, box in rows])


def _deepforest(rows: Sequence[Row]) -> str:
    return _table("image_path,xmin,ymin,xmax,ymax,label", [(f"{stem}.png", *box, name) for stem, name, box in rows])


def _retinanet_with_header(rows: Sequence[Row]) -> str:
    return _table("file,x1,y1,x2,y2,label", [(f"{stem}.png", *box, name) for stem, name, box in rows], "\t")


def _sizes(rows: Sequence[Row]) -> str:
    boxes = [(f"{stem}.png", x1, y1, x2 - x1, y2 - y1, name) for stem, name, (x1, y1, x2, y2) in rows]
    return _table("name,x,y,w,h,class", boxes, ";")


def _open_images(rows: Sequence[Row]) -> str:
    header = (
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
    )
    values = [
        (stem, "xclick", name, 1, x1 / WIDTH, x2 / WIDTH, y1 / HEIGHT, y2 / HEIGHT, 0, -1, 0, 0, 0)
        for stem, name, (x1, y1, x2, y2) in rows
    ]
    return _table(header, values)


def _via(rows: Sequence[Row]) -> str:
    header = "#filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
    values = [
        (f"{stem}.png", 99, "{}", len(rows), i, json.dumps(_via_shape(i, box)), json.dumps({"species": name}))
        for i, (stem, name, box) in enumerate(rows)
    ]
    return _table(header, values)


def _via_shape(i: int, box: Box) -> dict[str, object]:
    x1, y1, x2, y2 = box
    xs, ys = [x1, (x1 + x2) / 2, x2], [y2, y1, y2]
    ellipse = {"cx": (x1 + x2) / 2, "cy": (y1 + y2) / 2, "rx": (x2 - x1) / 2, "ry": (y2 - y1) / 2}
    shapes: list[dict[str, object]] = [
        {"name": "rect", "x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1},
        {"name": "polygon", "all_points_x": xs, "all_points_y": ys},
        {"name": "ellipse", **ellipse},
    ]
    return shapes[i % 3]


DIALECTS: dict[str, Callable[[Sequence[Row]], str]] = {
    "TensorFlow": _tensorflow,
    "VoTT": _vott,
    "DeepForest": _deepforest,
    "RetinaNet's order, named": _retinanet_with_header,
    "x y w h": _sizes,
    "OpenImages": _open_images,
    "VIA": _via,
}


def _expected(rows: Sequence[Row]) -> Boxes:
    boxes: Boxes = {}
    for stem, name, box in rows:
        boxes.setdefault(f"{stem}.png", []).append((name, *map(float, box)))
    return {name: sorted(objects) for name, objects in sorted(boxes.items())}


@pytest.mark.parametrize("write", DIALECTS.values(), ids=DIALECTS)
@many
@given(rows=ROWS)
def test_every_command_reads_the_boxes_of_a_dialect(write: Callable[[Sequence[Row]], str], rows: list[Row]) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        write_files(root, {"all.csv": write(rows)} | {f"{stem}.png": "image" for stem, _, _ in rows})
        expected = _expected(rows)
        for command, read in READERS.items():
            assert read(root) == expected, command


def test_a_box_without_a_class_is_an_object(tmp_path: Path) -> None:
    text = 'image_id,width,height,bbox,source\na,96,64,"[10.0, 12.0, 30.0, 32.0]",usask_1\nb,96,64,,usask_1\n'
    write_files(tmp_path, {"all.csv": text, "a.png": "image", "b.png": "image"})
    for command, read in READERS.items():
        assert read(tmp_path) == {"a.png": [("object", *BOX)], "b.png": []}, command
    note = next(finding for finding in scan_folder(tmp_path, None).findings if finding.kind == "dialect")
    assert note.message == (
        "image_id is file, bbox is the box's x1, y1, width and height; "
        'no column of labels: each box is of the class "object"; not read: source'
    )


def test_images_without_objects_in_other_dialects(tmp_path: Path) -> None:
    empty = 'image_path,xmin,ymin,xmax,ymax,label\na.png,0,0,0,0,"Tree"\n'
    via = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"
    via += 'b.png,9,"{}",0,0,"{}","{}"\n'
    write_files(tmp_path, {"empty.csv": empty, "via.csv": via, "a.png": "image", "b.png": "image"})
    assert READERS["inspect"](tmp_path) == {"a.png": [], "b.png": []}


@pytest.mark.parametrize("names", [(), ("V\u00f6gel",), ("V\u00f6gel", "Vo\u0308gel")], ids=["none", "one", "two"])
@pytest.mark.parametrize("is_checkbox", [False, True])
def test_two_spellings_of_a_class_of_via_are_one_class(
    tmp_path: Path, names: tuple[str, ...], is_checkbox: bool
) -> None:
    header = "filename,region_shape_attributes,region_attributes"
    attributes = [json.dumps({"class": {name: True} if is_checkbox else name}) for name in names]
    shape = json.dumps(_via_shape(0, BOX))
    rows = [("a.png", shape, text) for text in attributes] or [("a.png", "{}", "{}")]
    write_files(tmp_path, {"all.csv": _table(header, rows), "a.png": "image"})
    for command in ("inspect", "stats", "convert"):
        assert READERS[command](tmp_path) == {"a.png": [("V\u00f6gel", *BOX)] * len(names)}, command


def test_open_images_are_named_by_their_descriptions(tmp_path: Path) -> None:
    header = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf"
    text = f"{header}\na,xclick,/m/01yrx,1,0.125,0.5,0.25,0.5,0,1,1\n"
    descriptions = "/m/01yrx,Ka\u0308tzchen\n/m/0bt9lr,Dog\n"
    write_files(tmp_path, {"train.csv": text, "class-descriptions-boxable.csv": descriptions, "a.png": "image"})
    for command, read in READERS.items():
        assert read(tmp_path) == {"a.png": [("K\u00e4tzchen", 12.0, 16.0, 48.0, 32.0)]}, command
    (instance,) = scan_folder(tmp_path, None).distinct_images[0].objects
    assert (instance.crowd, instance.truncated, instance.difficult) == (True, True, False)


REFUSED = {
    "scores": (
        "ImageID,LabelName,Confidence,XMin,XMax,YMin,YMax\na,cat,0.4,0.1,0.2,0.1,0.2\n",
        "line 2: expected labels, found the score 0.4",
    ),
    "unknown names": ("photo,kind,a,b,c,d\na.png,cat,1,2,3,4\n", 'or those of another tool, found "photo"'),
    "no label": ("filename,xmin,ymin,xmax,ymax\na.png,1,2,3,4\n", 'found "label" 0 times'),
    "bbox of three": ('image_id,bbox\na.png,"[1, 2, 3]"\n', r"line 2: bbox: expected \[x, y, width, height\]"),
    "no attributes": (
        'filename,region_shape_attributes\na.png,"{}"\n',
        'found "region_attributes" 0 times',
    ),
    "two attributes": (
        'filename,region_shape_attributes,region_attributes\na.png,"{""name"":""point"",""cx"":1,""cy"":2}",'
        '"{""color"":""red"",""size"":""big""}"\n',
        "expected the attribute label, with the class, found the attributes color, size",
    ),
    "unknown shape": (
        'filename,region_shape_attributes,region_attributes\na.png,"{""name"":""star""}","{""class"":""cat""}"\n',
        "line 2: expected a rect, circle, .* found ",
    ),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_understood_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    write_files(tmp_path, {"all.csv": text, "a.png": "image"})
    for command in ("convert", "train", "eval"):
        with pytest.raises(UserError, match=message) as raised:
            READERS[command](tmp_path)
        assert "\n" not in str(raised.value)


def test_rows_of_values_are_no_header() -> None:
    for row in (["a.jpg", "cat", "1", "2", "3", "4"], ["image", "", "", "", "", ""], ["a.jpg", "", "", "", "", ""]):
        assert parse_header(Path("x.csv"), 1, row) is None
