"""Labelled folders as tools and people write them, each with the boxes that it has, or why it is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.data.cases.readers import Boxes
from tests.data.cases.write_cases import BOX, HEIGHT, WIDTH, coco, voc, write_files, write_image, yolo

CAT = ("cat", *BOX)
SIZE = (WIDTH, HEIGHT)


@dataclass(frozen=True)
class Case:
    """A folder.

    write: writes it below a root; boxes: of each image, None where the folder is refused; refused: a pattern of the
    message of every command; findings: the kinds that inspection reports, besides those of images that look alike.
    """

    write: Callable[[Path], object]
    boxes: Boxes | None = None
    refused: str = ""
    findings: frozenset[str] = field(default_factory=frozenset)


def _files(files: Mapping[str, str]) -> Callable[[Path], object]:
    return lambda root: write_files(root, files)


def _found(*names: str, box: tuple[object, ...] = CAT) -> Boxes:
    return {name: [box] for name in sorted(names)}


def _size_of_another(root: Path) -> None:
    """Every XML file states the size of the first image."""
    write_files(root, {f"Annotations/{name}.xml": voc(f"{name}.jpg") for name in "a"})
    write_files(root, {"Annotations/b.xml": voc("b.jpg", [(200, 100, 280, 180)])})
    write_image(root / "JPEGImages/a.jpg")
    write_image(root / "JPEGImages/b.jpg", (300, 200))


def _size_before_rotation(root: Path) -> None:
    """The size in the COCO file is that before the EXIF rotation; the boxes are upright."""
    write_image(root / "images/phone.jpg", (64, 96), orientation=6)
    boxes = [(1, 1, BOX), (1, 1, (20, 70, 50, 90))]
    write_files(root, {"result.json": coco([("phone.jpg", (96, 64))], boxes)})


def _panoptic() -> str:
    document = json.loads(coco([("a.jpg", SIZE)], []))
    document["annotations"] = [{"image_id": 1, "file_name": "a.png", "segments_info": []}]
    return json.dumps(document)


ROBOFLOW_CATEGORIES = [
    {"id": 0, "name": "fish", "supercategory": "none"},
    {"id": 1, "name": "fish", "supercategory": "fish"},
    {"id": 2, "name": "trap", "supercategory": "fish"},
]
ROOT_CATEGORIES = [
    {"id": 0, "name": "sea", "supercategory": "none"},
    {"id": 1, "name": "fish", "supercategory": "sea"},
    {"id": 2, "name": "trap", "supercategory": "sea"},
]


def _roboflow(categories: list[dict[str, object]]) -> Callable[[Path], object]:
    objects = [(1, 1, BOX), (1, 2, (50, 20, 81, 51))]
    return _files(
        {
            f"{split}/{name}": text
            for split in ("train", "valid")
            for name, text in (
                (f"{split}.jpg", "image"),
                ("_annotations.coco.json", coco([(f"{split}.jpg", SIZE)], objects, categories)),
            )
        }
    )


ROBOFLOW_BOXES: Boxes = {
    f"{split}/{split}.jpg": [("fish", *BOX), ("trap", 50.0, 20.0, 81.0, 51.0)] for split in ("train", "valid")
}
PAIR = {"a.jpg": "image", "b.png": "image"}


def _voc_layout(xml_folder: str, image_folder: str, names: tuple[str, ...] = ("a.jpg", "b.png")) -> Case:
    """XML files in one folder, images in another; the XML files name no image."""
    files = {f"{image_folder}/{name}": "image" for name in names}
    files |= {f"{xml_folder}/{Path(name).stem}.xml": voc() for name in names}
    return Case(_files(files), _found(*(f"{image_folder}/{name}" for name in names)))


def _two_voc_layouts(*folders: tuple[str, str, str]) -> Case:
    """XML files and images of two splits, each with an image of its own."""
    files = {f"{images}/{stem}.jpg": "image" for _, images, stem in folders}
    files |= {f"{xmls}/{stem}.xml": voc(f"{stem}.jpg") for xmls, _, stem in folders}
    return Case(_files(files), _found(*(f"{images}/{stem}.jpg" for _, images, stem in folders)))


CASES: dict[str, Case] = {
    "empty": Case(lambda _: None, refused="found 0 images and no labels"),
    "VOC: size of another image": Case(
        _size_of_another,
        {"JPEGImages/a.jpg": [CAT], "JPEGImages/b.jpg": [("cat", 200.0, 100.0, 280.0, 180.0)]},
        findings=frozenset({"wrong-size"}),
    ),
    "VOC: lists name subfolders": Case(
        _files(
            {f"JPEGImages/{name}.jpg": "image" for name in ("cam1/0", "cam2/0")}
            | {f"Annotations/{name}.xml": voc(f"{name}.jpg") for name in ("cam1/0", "cam2/0")}
            | {"ImageSets/Main/train.txt": "cam1/0\n", "ImageSets/Main/val.txt": "cam2\\0\r\n"}
        ),
        _found("JPEGImages/cam1/0.jpg", "JPEGImages/cam2/0.jpg"),
    ),
    "VOC: subfolders without lists": Case(
        _files(
            {f"JPEGImages/{name}.jpg": "image" for name in ("cam1/0", "cam2/0")}
            | {f"Annotations/{name}.xml": voc() for name in ("cam1/0", "cam2/0")}
        ),
        _found("JPEGImages/cam1/0.jpg", "JPEGImages/cam2/0.jpg"),
    ),
    "VOC: annotations/xmls": _voc_layout("annotations/xmls", "images"),
    "VOC: annots beside images": _voc_layout("annots", "images"),
    "VOC: capitals": _voc_layout("ANNOTATIONS", "IMAGES"),
    "VOC: folders of any name": _voc_layout("boxes", "raw/2020"),
    "VOC: splits with annots": _two_voc_layouts(
        ("train/annots", "train/images", "a"), ("valid/annots", "valid/images", "b")
    ),
    "VOC: splits below kinds": _two_voc_layouts(
        ("annotations/train", "images/train", "a"), ("annotations/val", "images/val", "a")
    ),
    "VOC: Training and Validation": _two_voc_layouts(
        ("Training/Annotations", "Training/Images", "a"), ("Validation/Annotations", "Validation/Images", "b")
    ),
    "VOC: the name in the file decides": Case(
        _files({"JPEGImages/a.jpg": "image", "JPEGImages/a.png": "image", "Annotations/a.xml": voc("a.png")}),
        _found("JPEGImages/a.png"),
        findings=frozenset({"unlabelled-image"}),
    ),
    "VOC: nothing decides": Case(
        _files({"JPEGImages/a.jpg": "image", "JPEGImages/a.png": "image", "Annotations/a.xml": voc()}),
        refused=r"a\.xml: expected one image of its name, found JPEGImages/a\.jpg and JPEGImages/a\.png",
    ),
    "VOC: two files of one image": Case(
        _files({"a.jpg": "image", "labels/a.xml": voc(), "xmls/a.xml": voc()}),
        refused=r"expected one XML file for a\.jpg, found labels/a\.xml and xmls/a\.xml",
    ),
    "VOC: another image by name": Case(
        _files({"images/a.jpg": "image", "images/b.jpg": "image", "annots/a.xml": voc("b.jpg")}),
        refused=r"a\.xml: expected one image, found a\.jpg by its own name and b\.jpg in <filename>",
    ),
    "VOC: image of a kind that is not read": Case(
        _files(
            {
                "JPEGImages/a.jpg": "image",
                "JPEGImages/b.heic": "-",
                "Annotations/a.xml": voc(),
                "Annotations/b.xml": voc(),
            }
        ),
        refused=r"b\.jpg: expected image b, found b\.heic, a kind of file that is not read",
    ),
    "VOC: default namespace": Case(
        _files({"a.jpg": "image", "a.xml": voc().replace("<annotation>", '<annotation xmlns="http://example.org/v">')}),
        _found("a.jpg"),
    ),
    "VOC: XML of something else": Case(
        _files({"a.jpg": "image", "a.xml": "<report><page/></report>", "b.jpg": "image", "b.xml": voc()}),
        refused=r"a\.xml: expected VOC's <annotation> with <object>, found <report>",
    ),
    "VOC: GDAL's statistics and a project's XML": Case(
        _files(
            {"x.tif": "image", "x.xml": voc(), "x.tif.aux.xml": "<PAMDataset/>", ".idea/misc.xml": "<project/>"}
            | {"docs/pom.xml": "<project/>"}
        ),
        _found("x.tif"),
    ),
    "VOC: second bndbox": Case(
        _files({"a.jpg": "image", "a.xml": voc().replace("</object>", "<bndbox><xmin>1</xmin></bndbox></object>")}),
        _found("a.jpg"),
        findings=frozenset({"second-box"}),
    ),
    "VOC: images without XML": Case(
        _files(
            {"images/a.jpg": "image", "images/b.jpg": "image", "images/c.jpg": "image", "annots/a.xml": voc()}
            | {"annots/b.xml": voc(boxes=[])}
        ),
        {"images/a.jpg": [CAT], "images/b.jpg": []},
        findings=frozenset({"unlabelled-image"}),
    ),
    "VOC and COCO": Case(
        _files({"images/a.jpg": "image", "annots/a.xml": voc(), "all.json": coco([("a.jpg", SIZE)], [(1, 1, BOX)])}),
        refused=r"expected one format, found voc .* and coco .*name the format: --format or data\.format",
    ),
    "VOC and a website": Case(
        _files({"images/a.jpg": "image", "annots/a.xml": voc(), "_config.yml": "title: x\ntheme: y\n"}),
        _found("images/a.jpg"),
    ),
    "COCO: size before the EXIF rotation": Case(
        _size_before_rotation,
        {"images/phone.jpg": [CAT, ("cat", 20.0, 70.0, 50.0, 90.0)]},
        findings=frozenset({"rotated"}),
    ),
    "COCO: unused category of the same name": Case(
        _roboflow(ROBOFLOW_CATEGORIES), ROBOFLOW_BOXES, findings=frozenset({"unused-category"})
    ),
    "COCO: unused root": Case(_roboflow(ROOT_CATEGORIES), ROBOFLOW_BOXES, findings=frozenset({"unused-category"})),
    "COCO: two used categories of one name": Case(
        _files(
            {
                "images/a.jpg": "image",
                "all.json": coco(
                    [("a.jpg", SIZE)], [(1, 1, BOX), (1, 2, BOX)], [{"id": 1, "name": "cat"}, {"id": 2, "name": "cat"}]
                ),
            }
        ),
        refused=r'found id 1 and id 2, both "cat" and with objects: rename one, or give the objects one category_id',
    ),
    "COCO: one file under two ids": Case(
        _files(
            {"images/a.png": "image", "all.json": coco([("a.png", SIZE), ("a.png", SIZE)], [(1, 1, BOX), (2, 1, BOX)])}
        ),
        refused=r"image 2: expected each image once, found a\.png under the ids 1 and 2$",
    ),
    "COCO: whole numbers with a point": Case(
        _files(
            {
                "images/a.jpg": "image",
                "all.json": coco([("a.jpg", SIZE)], [(1, 1, BOX)])
                .replace('_id": 1', '_id": 1.0')
                .replace("96,", "96.0,"),
            }
        ),
        _found("images/a.jpg"),
    ),
    "COCO: ids of 128 bits": Case(
        _files(
            {
                "images/a.jpg": "image",
                "all.json": coco([("a.jpg", SIZE)], [(1, 1, BOX)]).replace('"image_id": 1', f'"image_id": {2**128}'),
            }
        ),
        refused=r'annotation 1: "image_id": expected an integer of 64 bits',
    ),
    "COCO: panoptic": Case(
        _files({"images/a.jpg": "image", "all.json": _panoptic()}),
        refused="expected COCO's boxes, found panoptic segments",
    ),
    "COCO: images deeper than named": Case(
        _files({"photos/2020/a.jpg": "image", "all.json": coco([("x\\a.jpg", SIZE)], [(1, 1, BOX)])}),
        _found("photos/2020/a.jpg"),
    ),
    "YOLO: keypoints": Case(
        _files(
            {
                f"{folder}/{split}/{split}{suffix}": text
                for split in ("train", "val")
                for folder, suffix, text in (
                    ("images", ".jpg", "image"),
                    ("labels", ".txt", yolo().strip() + " 0.45 0.55 0.45 0.55\n"),
                )
            }
            | {"data.yaml": "train: images/train\nval: images/val\nkpt_shape: [2, 2]\nnames: [cat]\n"}
        ),
        _found("images/train/train.jpg", "images/val/val.jpg"),
    ),
    "YOLO: fields that fit no reading": Case(
        _files(
            {"images/a.jpg": "image", "labels/a.txt": yolo().strip() + " 1 2\n"}
            | {"data.yaml": "train: images\nkpt_shape: [2, 2]\nnames: [cat]\n"}
        ),
        refused=r"a\.txt: line 1: expected class cx cy w h and the 4 numbers of kpt_shape, found 7 fields",
    ),
    "YOLO: labels beside images in folders": Case(
        _files(
            {f"{name}.jpg": "image" for name in ("some/a", "another/images/b")}
            | {f"{name}.txt": yolo() for name in ("some/a", "another/images/b")}
            | {"classes.txt": "cat\n"}
        ),
        _found("some/a.jpg", "another/images/b.jpg"),
    ),
    "YOLO: capitals": Case(
        _files({"IMAGES/a.jpg": "image", "LABELS/a.txt": yolo(), "classes.txt": "cat\n"}), _found("IMAGES/a.jpg")
    ),
    "YOLO: CVAT's lists": Case(
        _files(
            {
                f"obj_{split}_data/{split}{i}.{kind}": "image" if kind == "jpg" else yolo()
                for split in ("train", "valid")
                for i in range(2)
                for kind in ("jpg", "txt")
            }
            | {
                f"{split}.txt": "".join(f"data/obj_{split}_data/{split}{i}.jpg\n" for i in range(2))
                for split in ("train", "valid")
            }
            | {
                "obj.names": "cat\n",
                "obj.data": "classes = 1\ntrain = data/train.txt\nvalid = data/valid.txt\nnames = data/obj.names\n",
            }
        ),
        _found(*(f"obj_{split}_data/{split}{i}.jpg" for split in ("train", "valid") for i in range(2))),
    ),
    "YOLO: lists of Windows": Case(
        _files(
            {f"images/{i}.jpg": "image" for i in range(2)}
            | {f"labels/{i}.txt": yolo() for i in range(2)}
            | {"train.txt": ".\\images\\0.jpg\r\n", "val.txt": "C:\\Users\\me\\images\\1.jpg\r\n"}
            | {"data.yaml": "train: train.txt\nval: val.txt\nnames: [cat]\n"}
        ),
        _found("images/0.jpg", "images/1.jpg"),
    ),
    "YOLO: label of a HEIC image": Case(
        _files(
            {
                "train/images/a.jpg": "image",
                "train/images/b.heic": "-",
                "data.yaml": "train: train/images\nnames: [cat]\n",
            }
            | {f"train/labels/{name}.txt": yolo() for name in "ab"}
        ),
        _found("train/images/a.jpg"),
        findings=frozenset({"unread-kind"}),
    ),
    "YOLO: images and labels swapped": Case(
        _files({"labels/a.jpg": "image", "images/a.txt": yolo(), "classes.txt": "cat\n"}),
        refused=r"expected images in .*images, found none \(1 in .*labels\)",
    ),
    "YOLO: names one folder down": Case(
        _files({"a.jpg": "image", "a.txt": yolo(), "x/classes.txt": "cat\n"}),
        refused=r"found 1 images and no labels that are known \(.*\); x has classes\.txt: .* or move classes\.txt to",
    ),
    "CSV: RetinaNet's order with numbers": Case(
        _files({"a.jpg": "image", "b.jpg": "image", "all.csv": "a.jpg,10,12,40,44,1\nb.jpg,5,8,40,44,2\n"}),
        refused="expected the columns .*, found rows that fit file,x1,y1,x2,y2,label: write that as the first line",
    ),
    "CSV: RetinaNet's order with names": Case(
        _files({"a.jpg": "image", "all.csv": "a.jpg,10,12,40,44,cat\n"}),
        refused="found rows that fit file,x1,y1,x2,y2,label: write that as the first line",
    ),
    "CSV: numbers as labels": Case(
        _files({"a.jpg": "image", "all.csv": "a.jpg,1,10,12,40,44\n"}), _found("a.jpg", box=("1", *BOX))
    ),
}
