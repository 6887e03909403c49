"""VOC, COCO and YOLO as other tools write them: every command reads the same boxes, and a note says how."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detect.config.builders.data import read_splits
from detect.config.builders.resolve import resolve
from detect.config.files import parse_config
from detect.data.convert.convertible_dataset import read_convertible_dataset
from detect.data.formats.detect_format import detect_format
from detect.data.inspect.format_findings import findings_summary, findings_to_dict, format_findings
from detect.data.inspect.inspector import scan_folder
from detect.data.usage import count_titles
from detect.errors import UserError
from tests.data.cases.readers import READERS
from tests.data.cases.write_cases import BOX, HEIGHT, WIDTH, coco, voc, write_files, yolo

many = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
CAT = ("cat", *map(float, BOX))
SIZE = (WIDTH, HEIGHT)


def notes(root: Path) -> list[str]:
    return [finding.message for finding in scan_folder(root, None).findings if finding.kind == "dialect"]


def expect_cat(root: Path, *names: str) -> None:
    for command, read in READERS.items():
        assert read(root) == {name: [CAT] for name in sorted(names)}, command


POLYGONS = st.lists(
    st.tuples(st.integers(1, WIDTH), st.integers(1, HEIGHT)), min_size=3, max_size=7, unique=True
).filter(lambda points: all(max(side) - min(side) > 2 for side in zip(*points, strict=True)))


@many
@given(points=POLYGONS, dialect=st.sampled_from(["Roboflow", "LabelMe"]), beside=st.booleans())
def test_voc_polygons(points: list[tuple[int, int]], dialect: str, beside: bool) -> None:
    if dialect == "Roboflow":
        inner = "".join(f"<x{i}>{x}</x{i}><y{i}>{y}</y{i}>" for i, (x, y) in enumerate(points, start=1))
    else:
        inner = "<username>me</username>" + "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in points)
    box = "<bndbox><ymin>13</ymin><xmin>11.0</xmin><xmax>40.0</xmax><ymax>44</ymax></bndbox>" if beside else ""
    text = f"<annotation><object><name>cat</name><polygon>{inner}</polygon>{box}</object></annotation>"
    xs, ys = list(zip(*points, strict=True))
    around = ("cat", min(xs) - 1.0, min(ys) - 1.0, float(max(xs)), float(max(ys)))
    with TemporaryDirectory() as folder:
        root = Path(folder)
        write_files(root, {"a.png": "image", "a.xml": text})
        for command, read in READERS.items():
            assert read(root) == {"a.png": [CAT if beside else around]}, command
        assert notes(root) == ([] if beside else ["the box is the one around its <polygon>"])


def test_voc_rotated_boxes(tmp_path: Path) -> None:
    shape = f"<robndbox><cx>50</cx><cy>30</cy><w>40</w><h>20</h><angle>{math.pi / 2}</angle></robndbox>"
    text = f"<annotation><object><type>robndbox</type><name>cat</name>{shape}</object></annotation>"
    write_files(tmp_path, {"a.png": "image", "a.xml": text})
    for command, read in READERS.items():
        assert read(tmp_path) == {"a.png": [("cat", 39.0, 9.0, 60.0, 50.0)]}, command
    assert notes(tmp_path) == ["the box is the one around its <robndbox>"]


def test_voc_names_images_without_suffix(tmp_path: Path) -> None:
    write_files(tmp_path, {"images/low-1.bmp": "image", "xml/0001.xml": voc("low-1"), "images/b.png": "image"})
    write_files(tmp_path, {"xml/b.xml": voc("b")})
    expect_cat(tmp_path, "images/low-1.bmp", "images/b.png")
    assert notes(tmp_path) == []


@many
@given(
    prefix=st.sampled_from(
        [
            "images\\",
            "images/1/",
            "..\\..\\label-studio\\media\\upload\\4\\",
            "/home/me/set/",
            "C:\\set\\images\\",
            "/data/local-files/?d=",
            "../images/",
        ]
    )
)
def test_coco_names_images_on_another_machine(prefix: str) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        write_files(root, {"images/a.png": "image", "result.json": coco([(f"{prefix}a.png", SIZE)], [(1, 1, BOX)])})
        expect_cat(root, "images/a.png")
        is_outside = prefix.startswith(("..", "/", "C:"))
        assert len(notes(root)) == is_outside


def test_coco_names_an_image_that_is_nowhere(tmp_path: Path) -> None:
    write_files(tmp_path, {"images/b.png": "image", "all.json": coco([("/etc/a.png", SIZE)], [(1, 1, BOX)])})
    for command in ("convert", "train", "eval"):
        with pytest.raises(UserError, match=r"images/etc/a\.png: expected image 1 of .*, found nothing"):
            READERS[command](tmp_path)


def test_coco_detections_are_no_labels(tmp_path: Path) -> None:
    detections = json.dumps([{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}])
    write_files(tmp_path, {"images/a.png": "image", "detections.json": detections})
    with pytest.raises(UserError, match=r"detections\.json lists detections, which are no labels: add the file"):
        READERS["train"](tmp_path)
    write_files(tmp_path, {"all.json": coco([("a.png", SIZE)], [(1, 1, BOX)])})
    expect_cat(tmp_path, "images/a.png")


CORNERS = "0.1041667 0.1875 0.4166667 0.1875 0.4166667 0.6875 0.1041667 0.6875"
YOLO_LINES = {
    "segments": (f"0 {CORNERS} 0.2 0.5\n", "", "1 of 1 objects are polygons: the box is the one around each"),
    "triangles": (
        "0 0.1041667 0.1875 0.4166667 0.1875 0.2 0.6875\n",
        "",
        "1 of 1 objects are taken for polygons of 3 points; if they are a box, a score and the number of a track, "
        "leave out the last two numbers",
    ),
    "oriented": (
        f"0 {CORNERS}\n",
        "",
        "1 of 1 objects have 4 points, of an oriented box or a polygon: the box is the one around them",
    ),
    "pose": (
        yolo().strip() + " 0.2 0.3 2 0.3 0.4 1\n",
        "kpt_shape: [2, 3]\n",
        "kpt_shape: of 1 of 1 objects the box is read, and the keypoints are not",
    ),
}


@pytest.mark.parametrize(("line", "keys", "note"), YOLO_LINES.values(), ids=YOLO_LINES)
def test_yolo_lines_of_other_tasks(tmp_path: Path, line: str, keys: str, note: str) -> None:
    data = f"train: images\nnames: [cat]\n{keys}"
    write_files(tmp_path, {"images/a.png": "image", "labels/a.txt": line, "data.yaml": data})
    expect_cat(tmp_path, "images/a.png")
    assert notes(tmp_path) == [note]


@many
@given(
    names=st.sampled_from(["[cat]", "{0: cat}", '{"0": cat}', "classes.txt"]),
    prefix=st.sampled_from(["", "../", "../../", "/content/set/", "C:\\set\\", "./"]),
    ending=st.sampled_from(["images", "images/"]),
)
def test_yolo_data_files_of_other_machines(names: str, prefix: str, ending: str) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        files = {f"{split}/images/{split}.png": "image" for split in ("train", "valid")}
        files |= {f"{split}/labels/{split}.txt": yolo() for split in ("train", "valid")}
        files |= {"classes.txt": "cat\n", "README.roboflow.txt": "about\n"}
        data = f"train: {prefix}train/{ending}\nval: {prefix}valid/{ending}\ntest: null\nnc: 1\nnames: {names}\n"
        write_files(root, files | {"data.yaml": data})
        expect_cat(root, "train/images/train.png", "valid/images/valid.png")


def test_yolo_label_studio(tmp_path: Path) -> None:
    files = {"classes.txt": "cat\n", "notes.json": '{"categories": [{"id": 0, "name": "cat"}], "info": {}}'}
    write_files(tmp_path, files | {"images/1-a.png": "image", "labels/1-a.txt": yolo()})
    expect_cat(tmp_path, "images/1-a.png")
    assert notes(tmp_path) == []


def test_yolo_images_left_out_as_masks_are_counted(tmp_path: Path) -> None:
    masks = {f"masks/{name}.png": "image" for name in "abc"}
    write_files(tmp_path, {"a.png": "image", "a.txt": yolo(), "classes.txt": "cat\n"})
    assert notes(tmp_path) == []
    write_files(tmp_path, masks)
    expect_cat(tmp_path, "a.png")
    assert notes(tmp_path) == [
        "3 images in folders named for masks, as masks, are not read: none there has a label file; "
        "give photos without objects an empty one"
    ]


def test_yolo_splits_that_would_be_one_folder_are_refused(tmp_path: Path) -> None:
    data = "train: /content/train/images\nval: /content/valid/images\nnames: [cat]\n"
    write_files(tmp_path, {"images/a.png": "image", "labels/a.txt": yolo(), "data.yaml": data})
    for command in ("convert", "train", "eval"):
        with pytest.raises(UserError, match=r"data\.yaml: train: expected a folder of images or a list, found nothing"):
            READERS[command](tmp_path)


def _tree(*images: str) -> dict[str, str]:
    """Files of images with a cat each; labels lie in labels beside images, or beside the image."""
    labels = {image.replace("images/", "labels/").replace(".png", ".txt"): yolo() for image in images}
    return dict.fromkeys(images, "image") | labels


@pytest.mark.parametrize(
    ("images", "data", "note"),
    [
        pytest.param(
            ("images/train/a.png", "images/validation/b.png"),
            "train: /kaggle/input/cats/photos_train\nval: /kaggle/input/cats/photos_val\n",
            "/kaggle/input/cats/photos_val is taken for images/validation",
            id="images below folders of splits",
        ),
        pytest.param(
            ("train/images/a.png", "valid/images/b.png"),
            "train: ../train/images\nval: D:\\set\\val\\images\ntest: null\n",
            "D:\\set\\val\\images is taken for valid/images",
            id="Roboflow's folders under another spelling",
        ),
        pytest.param(
            ("my_images/a.png", "my_images/b.png"),
            "path: /home/student/set\ntrain: images\nval: images\n",
            "images is taken for my_images",
            id="one folder for both",
        ),
    ],
)
def test_yolo_folders_that_are_elsewhere(tmp_path: Path, images: tuple[str, ...], data: str, note: str) -> None:
    write_files(tmp_path, _tree(*images) | {"data.yaml": data + "names: [cat]\n"})
    expect_cat(tmp_path, *images)
    assert any(note in line for line in notes(tmp_path))


@pytest.mark.parametrize(
    ("images", "data", "there"),
    [
        pytest.param((), "train: p\n", "; no images are below its folder", id="no image"),
        pytest.param(("a/1.png", "b/2.png"), "train: p\n", "; images are in a (1), b (1)", id="no folder of a split"),
        pytest.param(("a/1.png", "b/2.png"), "train: p\nval: p\n", "; images are in a (1), b (1)", id="two for one"),
        pytest.param(
            ("train/1.png", "train2/2.png", "val/3.png"),
            "train: photos\nval: val\n",
            "; images are in train (1), train2 (1), val (1)",
            id="two folders of one split",
        ),
        pytest.param(
            ("train/1.png", "val/2.png"),
            "train: photos\nval: train\n",
            "; images are in train (1), val (1)",
            id="taken",
        ),
        pytest.param(
            ("train/1.png", "val/2.png"),
            "train: [p, q]\nval: val\n",
            "; images are in train (1), val (1)",
            id="several",
        ),
    ],
)
def test_yolo_folders_that_are_nowhere_are_refused_by_what_is_there(
    tmp_path: Path, images: tuple[str, ...], data: str, there: str
) -> None:
    write_files(tmp_path, _tree(*images) | {"data.yaml": data + "names: [cat]\n"})
    for command in ("convert", "train", "eval"):
        with pytest.raises(UserError, match=r"train: expected a folder of images or a list.*" + re.escape(there) + "$"):
            READERS[command](tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lists_and_csv_in_unicode_of_any_kind(tmp_path: Path, encoding: str) -> None:
    for root in (tmp_path / "csv", tmp_path / "yolo"):
        write_files(root, {"Ж.png": "image"})
    (tmp_path / "csv/all.csv").write_bytes("file,label,x1,y1,x2,y2\nЖ.png,käse,10,12,40,44\n".encode(encoding))
    (tmp_path / "yolo/classes.txt").write_bytes("käse\r\n".encode(encoding))
    (tmp_path / "yolo/Ж.txt").write_bytes(yolo().encode(encoding))
    for root in (tmp_path / "csv", tmp_path / "yolo"):
        for command, read in READERS.items():
            assert read(root) == {"Ж.png": [("käse", *CAT[1:])]}, command


def test_a_note_is_no_fault(tmp_path: Path) -> None:
    text = "image,xmin,ymin,xmax,ymax,label\na.png,10,12,40,44,cat\n"
    write_files(tmp_path, {"a.png": "image", "all.csv": text, "classes.csv": "cat,0\n"})
    findings = scan_folder(tmp_path, None).findings
    assert [Path(finding.file).name for finding in findings] == ["classes.csv", "all.csv"]
    assert count_titles(findings) == {}
    assert findings_summary(findings, 1, 1) == "clean: 1 images, 1 objects"
    assert findings_to_dict(findings, 1, 1)["warnings"] == 0
    assert format_findings(findings)[0].startswith("note: dialect: 2 x label file in the way of another tool")


LEGACY = {"cp1252": "käse", "cp1251": "Ж", "gbk": "汉字", "shift_jis": "カナ", "latin-1": "é"}


@pytest.mark.parametrize(("encoding", "name"), LEGACY.items(), ids=LEGACY)
def test_texts_in_a_named_encoding(tmp_path: Path, encoding: str, name: str) -> None:
    for format_, files in {
        "csv": {"all.csv": f"file,label,x1,y1,x2,y2\na.png,{name},10,12,40,44\n"},
        "yolo": {"data.yaml": f"train: list.txt\nnames: [{name}]\n", "a.txt": f"\n{yolo()}", "list.txt": "a.png\n"},
    }.items():
        root = tmp_path / format_
        write_files(root, {"a.png": "image"})
        for file, text in files.items():
            (root / file).write_bytes(text.encode(encoding))
        folder = scan_folder(root, None, encoding=encoding)
        assert [instance.name for image in folder.images for instance in image.objects] == [name]
        settings_ = {"format": "auto", "root": str(root), "val": 0.0, "encoding": encoding}
        config = resolve(parse_config({"data": settings_, "train": {"steps": 1, "validate_every": None}}, "test"))
        assert read_splits(config).train.classes == (name,)
        converted = read_convertible_dataset(root, detect_format(root), None, encoding)
        assert [instance.name for instance in converted.objects()] == [name]
        with pytest.raises(UserError, match=r"expected text in UTF-8, found byte 0x.. in line 2: .* or --encoding$"):
            read_convertible_dataset(root, detect_format(root), None)


def test_an_encoding_that_does_not_exist(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.png": "image", "all.csv": "a.png,cat,10,12,40,44\n"})
    with pytest.raises(UserError, match=r"or --encoding: expected the name of an encoding.*found klingon"):
        scan_folder(tmp_path, None, encoding="klingon")
