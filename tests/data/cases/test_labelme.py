"""LabelMe's JSON files: every command reads the same boxes, and says what was taken for what."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detect.config import DataConfig
from detect.config.builders.resolve import resolve_data
from detect.data.formats.detect_format import detect_format
from detect.data.inspect.inspector import scan_folder
from detect.errors import UserError
from tests.data.cases.readers import READERS, Boxes
from tests.data.cases.write_cases import BOX, HEIGHT, WIDTH, Box, write_files

many = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
CAT = ("cat", *map(float, BOX))


def _shape(kind: str | None, points: Sequence[Sequence[object]], label: str = "cat", **others: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}} | others


RECTANGLE = _shape("rectangle", [[10, 12], [40, 44]])


def _labelme(image: str, shapes: Sequence[Mapping[str, Any]], size: tuple[int, int] = (WIDTH, HEIGHT)) -> str:
    content: dict[str, Any] = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": image, "imageData": None}
    return json.dumps(content | {"imageHeight": size[1], "imageWidth": size[0]})


def _box_of(shape: Mapping[str, Any]) -> Box | None:
    """The box of a shape by LabelMe's documentation, written without regard to the reader."""
    x, y = list(zip(*shape["points"], strict=True))
    if shape["shape_type"] == "circle":
        radius = ((x[1] - x[0]) ** 2 + (y[1] - y[0]) ** 2) ** 0.5
        return x[0] - radius, y[0] - radius, x[0] + radius, y[0] + radius
    grow = 1 if shape["shape_type"] == "mask" else 0
    is_thin = shape["shape_type"] in ("point", "line", "linestrip")
    return None if is_thin else (min(x), min(y), max(x) + grow, max(y) + grow)


POINTS = st.tuples(st.integers(20, 70), st.integers(20, 50)).map(list)
SHAPES = st.one_of(
    st.builds(
        lambda kind, first, sides, label: _shape(
            kind, [[first[0] + sides[0], first[1]], [first[0], first[1] + sides[1]]], label
        ),
        st.sampled_from(["rectangle", "mask", "circle", "line"]),
        POINTS,
        st.tuples(st.integers(4, 9), st.integers(4, 9)),
        st.sampled_from(["cat", "Ж 漢"]),
    ),
    st.builds(
        lambda kind, first: _shape(kind, [first, [first[0] + 9.5, first[1]], [first[0] + 3, first[1] + 7.25]]),
        st.sampled_from(["polygon", None, "linestrip", "oriented_rectangle"]),
        POINTS,
    ),
)


LAYOUTS = [("", "", ""), ("img", "ann", "..\\img\\"), ("images", "labels", ""), ("p", "q/r", "gone/")]


@many
@given(
    shapes=st.lists(SHAPES, max_size=4),
    layout=st.sampled_from(
        [("", "", ""), ("img", "ann", "..\\img\\"), ("images", "labels", ""), ("p", "q/r", "gone/")]
    ),
    claim=st.sampled_from([(WIDTH, HEIGHT), (0, 0), (500, 400)]),
)
def test_every_command_reads_the_boxes_of_shapes(
    shapes: list[dict[str, Any]], layout: tuple[str, str, str], claim: tuple[int, int]
) -> None:
    images, labels, prefix = layout
    used = [(shape["label"], box) for shape in shapes if (box := _box_of(shape)) is not None]
    with TemporaryDirectory() as folder:
        root = Path(folder)
        names = [Path(images, name).as_posix() for name in ("a.png", "b.JPG")]
        files = {str(Path(labels, "a.json")): _labelme(f"{prefix}a.png", shapes, claim)}
        files |= {str(Path(labels, "b.json")): _labelme(f"{prefix}b.JPG", [RECTANGLE], claim)}
        write_files(root, files | dict.fromkeys(names, "image"))
        boxes = sorted((label, *(round(float(x), 2) for x in box)) for label, box in used)
        expected: Boxes = {names[0]: boxes, names[1]: [CAT]}
        for command, read in READERS.items():
            assert read(root) == expected, command
        findings = scan_folder(root, None).findings
        num_thin = sum(finding.kind == "no-box" for finding in findings)
        assert num_thin + len(used) == len(shapes), "every shape is read or reported"


def test_folders_are_splits(tmp_path: Path) -> None:
    files = {f"{split}/{split}.jpg": "image" for split in ("train", "val")}
    files |= {f"{split}/{split}.json": _labelme(f"{split}.jpg", [RECTANGLE]) for split in ("train", "val")}
    write_files(tmp_path, files)
    for command, read in READERS.items():
        assert read(tmp_path) == {"train/train.jpg": [CAT], "val/val.jpg": [CAT]}, command
    data = resolve_data(DataConfig.model_validate({"root": str(tmp_path), "format": "auto"}))
    assert (data.format, data.train, data.val) == ("labelme", "train", "val")


def test_shapes_of_a_group_are_one_object(tmp_path: Path) -> None:
    parts = [
        _shape("polygon", [[10, 12], [20, 12], [20, 30]], group_id=1),
        _shape("polygon", [[30, 20], [40, 20], [40, 44]], group_id=1, difficult=True),
        _shape("rectangle", [[1, 1], [9, 9]], "dog", group_id=1),
    ]
    write_files(tmp_path, {"a.png": "image", "a.json": _labelme("a.png", parts)})
    for command, read in READERS.items():
        assert read(tmp_path) == {"a.png": [CAT, ("dog", 1.0, 1.0, 9.0, 9.0)]}, command
    folder = scan_folder(tmp_path, None)
    (note,) = [finding for finding in folder.findings if finding.kind == "dialect"]
    assert note.message == (
        "of 2 objects the box around 1 x polygon; 1 shapes are parts of another one with their label and group_id"
    )
    assert [instance.difficult for instance in folder.distinct_images[0].objects] == [True, False]


REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "no shape": ({"a.json": _labelme("a.png", []).replace("[]", "{}")}, r'a\.json: expected LabelMe\'s "shapes"'),
    "cut short": ({"a.json": _labelme("a.png", [RECTANGLE])[:-20]}, r"a\.json: .*found damaged JSON"),
    "no label": ({"a.json": _labelme("a.png", [_shape("rectangle", [[1, 2]], "")])}, 'shape 1: expected a "label"'),
    "one corner": (
        {"a.json": _labelme("a.png", [_shape("rectangle", [[1, 2]])])},
        "points: expected two of a rectangle",
    ),
    "no numbers": (
        {"a.json": _labelme("a.png", [_shape("polygon", [["x", 2]])])},
        r"points: expected \[x, y\] of each",
    ),
    "no image": (
        {"a.json": _labelme("a.png", [RECTANGLE]), "c.json": _labelme("c.png", [])},
        r"c\.json: imagePath: expected the image of c\.json, found nothing at c\.png",
    ),
    "raw image": (
        {"a.json": _labelme("a.png", [RECTANGLE]), "c.json": _labelme("c.cr2", []), "c.cr2": "-"},
        r"found c\.cr2, a kind of file that is not read",
    ),
    "one image of two": (
        {"a.json": _labelme("a.png", [RECTANGLE]), "c.json": _labelme("a.png", [])},
        r"c\.json: expected an image of its own, found a\.png, that of .*a\.json",
    ),
}


@pytest.mark.parametrize(("files", "message"), REFUSED.values(), ids=REFUSED)
def test_what_would_lose_labels_is_refused_in_one_line(tmp_path: Path, files: dict[str, str], message: str) -> None:
    write_files(tmp_path, files | {"a.png": "image", "b.png": "image", "b.json": _labelme("b.png", [RECTANGLE])})
    assert detect_format(tmp_path) == "labelme"
    assert any(finding.is_error for finding in scan_folder(tmp_path, None).findings)
    for command in ("convert", "train", "eval"):
        with pytest.raises(UserError, match=message) as raised:
            READERS[command](tmp_path)
        assert "\n" not in str(raised.value)


def test_regions_to_ignore_and_background_are_left_out(tmp_path: Path) -> None:
    labels = ("cat", "__ignore__", "_background_")
    shapes = [_shape("rectangle", [[10, 12], [40, 44]], label) for label in labels]
    write_files(tmp_path, {"a.jpg": "image", "a.json": _labelme("a.jpg", shapes)})
    for command, read in READERS.items():
        assert read(tmp_path) == {"a.jpg": [CAT]}, command
    findings = scan_folder(tmp_path, None).findings
    assert [(finding.kind, finding.message) for finding in findings] == [("no-object", name) for name in labels[1:]]
