"""Faults to add to an example data set. Each is a small function, with the kind and number of the expected findings."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from tests.data.folders import voc_object
from tests.data.inspect.example_datasets import HEIGHT, WIDTH, draw_image

_DELETED = voc_object("zebra", 20, 20, 60, 60).replace("</object>", "<deleted>1</deleted></object>")

ApplyFault = Callable[[Path], object]


@dataclass(frozen=True)
class Fault:
    format: str
    apply: ApplyFault
    kind: str
    count: int = 1


def _change_xml(change: Callable[[str], str], *stems: str) -> ApplyFault:
    """Change the annotations of these images, or of all."""

    def plant(root: Path) -> None:
        for file in sorted((root / "Annotations").glob("*.xml")):
            if not stems or file.stem in stems:
                text = file.read_text()
                changed = change(text)
                assert changed != text
                file.write_text(changed)

    return plant


def _change_boxes(
    change: Callable[[int, int, int, int], tuple[object, ...]], *stems: str, first: bool = False
) -> ApplyFault:
    """Change VOC's corners: of all objects, or of the first of each image."""
    pattern = re.compile(r"<xmin>(.*?)</xmin><ymin>(.*?)</ymin><xmax>(.*?)</xmax><ymax>(.*?)</ymax>")

    def rewritten(found: re.Match[str]) -> str:
        tags = zip(("xmin", "ymin", "xmax", "ymax"), change(*map(int, found.groups())), strict=True)
        return "".join(f"<{tag}>{value}</{tag}>" for tag, value in tags)

    return _change_xml(lambda text: pattern.sub(rewritten, text, count=int(first)), *stems)


def _set_first_box(*corners: object) -> ApplyFault:
    return _change_boxes(lambda *_: corners, "p05", first=True)


def _add_objects(*objects: str) -> ApplyFault:
    return _change_xml(lambda text: text.replace("</annotation>", "".join(objects) + "</annotation>"), "p05")


def _change_json(change: Callable[[dict[str, Any]], object], *splits: str) -> ApplyFault:
    """Change the annotation files of these splits."""

    def plant(root: Path) -> None:
        for split in splits or ("train",):
            file = root / "annotations" / f"{split}.json"
            document = json.loads(file.read_text())
            change(document)
            file.write_text(json.dumps(document))

    return plant


def _change_bboxes(change: Callable[[float, float, float, float], list[float]]) -> ApplyFault:
    def everywhere(document: dict[str, Any]) -> None:
        for item in document["annotations"]:
            item["bbox"] = change(*item["bbox"])

    return _change_json(everywhere, "train", "val")


def _set_mask(make: Callable[[list[int]], object], **values: object) -> ApplyFault:
    """Give the third annotation of COCO's training file a mask made from its box x y width height."""

    def plant(document: dict[str, Any]) -> None:
        item = document["annotations"][2]
        item.update(segmentation=make(item["bbox"]), **values)

    return _change_json(plant)


def _box_polygon(bbox: list[int]) -> list[list[int]]:
    x, y, width, height = bbox
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def _update_annotation(**values: object) -> ApplyFault:
    """Change the third annotation of COCO's training file."""
    return _change_json(lambda document: document["annotations"][2].update(values))


def _change_image(change: Callable[[Path], object], folder: str = "JPEGImages") -> ApplyFault:
    return lambda root: change(root / folder / "p05.jpg")


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-400])


def _set_exif_rotation(path: Path) -> None:
    """Store the image with an EXIF rotation."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(path).copy().save(path, exif=exif)


def _link_to_nothing(root: Path) -> None:
    (root / "photos/p05.jpg").unlink()
    (root / "photos/p05.jpg").symlink_to("../.git/annex/objects/p05.jpg")


def _write_lists_below(root: Path) -> None:
    (root / "photos/ImageSets/Main").mkdir(parents=True)
    (root / "photos/ImageSets/Main/train.txt").write_text("p05\n")


def _reencode_as_png(path: Path) -> None:
    picture = Image.open(path).copy()
    picture.save(path, format="PNG")


def _replace_by_12_bits(path: Path) -> None:
    """Store the image in gray with samples from 0 to 4095, in a PNG of 16 bits."""
    gray = np.asarray(Image.open(path).convert("L"), np.uint16)
    path.unlink()
    Image.fromarray(gray * 4095 // 255).save(path.with_suffix(".png"))


def _append_frames(path: Path) -> None:
    """Store the image as a TIFF with two others after it."""
    image = Image.open(path).convert("RGB")
    path.unlink()
    others = [Image.new("RGB", image.size, color) for color in ("red", "blue")]
    image.save(path.with_suffix(".tif"), save_all=True, append_images=others)


def _copy_image(source: str, target: str, quality: int = 0) -> ApplyFault:
    """Replace an image by another, the same bytes or recompressed."""

    def plant(root: Path) -> None:
        first, second = (root / "JPEGImages" / f"{stem}.jpg" for stem in (source, target))
        shutil.copy(first, second)
        if quality:
            pixels = cv2.imread(str(first))
            assert pixels is not None
            cv2.imwrite(str(second), pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])

    return plant


def _make_long_and_thin(root: Path) -> None:
    """Replace an image by a strip without objects."""
    cv2.imwrite(str(root / "JPEGImages/p05.jpg"), np.zeros((8, 200, 3), np.uint8))
    (root / "Annotations/p05.xml").write_text("<annotation/>")


def _append_to_split(split: str, text: str) -> ApplyFault:
    def plant(root: Path) -> None:
        with (root / "ImageSets/Main" / f"{split}.txt").open("a") as stream:
            stream.write(text)

    return plant


def _rename_class(old: str, new: str) -> ApplyFault:
    return _change_xml(lambda text: text.replace(f">{old}<", f">{new}<", 1), "p05")


def _change_lines(change: Callable[[list[str]], list[str]], file: str = "") -> ApplyFault:
    """Change the fields of the first line of YOLO's p05, or those of all lines of all."""

    def plant(root: Path) -> None:
        for labels in sorted(root.glob(f"labels/{file or '*/*.txt'}")):
            lines = [line.split() for line in labels.read_text().splitlines()]
            changed = [change(lines[0]), *lines[1:]] if file else [change(line) for line in lines]
            labels.write_text("".join(" ".join(line) + "\n" for line in changed))

    return plant


def _append_yaml(text: str) -> ApplyFault:
    def plant(root: Path) -> None:
        (root / "data.yaml").write_text((root / "data.yaml").read_text() + text)

    return plant


def _set_first_line(*fields: object) -> ApplyFault:
    return _change_lines(lambda _: [str(field) for field in fields], "train/p05.txt")


def _name_columns_as_vott(root: Path) -> None:
    """Give the columns of CSV's training file the names of VoTT."""
    _, *rows = (root / "train.csv").read_text().splitlines()
    (root / "train.csv").write_text("\n".join(["image,label,xmin,ymin,xmax,ymax", *rows]) + "\n")


def _add_point(root: Path) -> None:
    """Add a point to a JSON file of LabelMe."""
    file = sorted(root.glob("train/*.json"))[0]
    content = json.loads(file.read_text())
    content["shapes"].append({"label": "zebra", "points": [[9, 9]], "shape_type": "point"})
    file.write_text(json.dumps(content))


def _set_first_row(text: str) -> ApplyFault:
    """Change the first row of CSV's training file."""

    def plant(root: Path) -> None:
        header, _, *others = (root / "train.csv").read_text().splitlines()
        (root / "train.csv").write_text("\n".join([header, text, *others]) + "\n")

    return plant


def _write_sizes_as_corners(root: Path) -> None:
    for file in root.glob("*.csv"):
        header, *rows = [line.split(",") for line in file.read_text().splitlines()]
        moved = [[*row[:4], str(int(row[4]) - int(row[2])), str(int(row[5]) - int(row[3]))] for row in rows]
        file.write_text("\n".join(",".join(row) for row in [header, *moved]) + "\n")


_CORNER_SIGNS = list(enumerate((-1, -1, 1, 1)))  # of x1 y1 x2 y2 from the centre
ZEBRA_OBJECT = voc_object("zebra", 91, 61, 109, 79)

FAULTS = {
    "truncated image": Fault("voc", _change_image(_truncate), "unreadable-image"),
    "empty image": Fault("voc", _change_image(lambda path: path.write_bytes(b"")), "unreadable-image"),
    "text as image": Fault("voc", _change_image(lambda path: path.write_text("not an image")), "unreadable-image"),
    "PNG named jpg": Fault("voc", _change_image(_reencode_as_png), "wrong-suffix"),
    "three frames": Fault("voc", _change_image(_append_frames), "several-frames"),
    "12 bits in 16": Fault("voc", _change_image(_replace_by_12_bits), "dark-16-bit"),
    "another size": Fault("voc", _change_image(lambda path: Image.new("RGB", (90, 70)).save(path)), "wrong-size"),
    "EXIF rotation": Fault("voc", _change_image(_set_exif_rotation), "rotated"),
    "EXIF rotation, COCO": Fault("coco", _change_image(_set_exif_rotation, "images"), "rotated"),
    "same image twice": Fault("voc", _copy_image("p05", "p06"), "duplicate-image"),
    "recompressed image": Fault("voc", _copy_image("p05", "p06", 30), "near-duplicate"),
    "same image in train and val": Fault("voc", _copy_image("p05", "p01"), "leak"),
    "recompressed in train and val": Fault("voc", _copy_image("p05", "p01", 30), "near-leak"),
    "listed in train and val": Fault("voc", _append_to_split("val", "p05\n"), "leak"),
    "listed twice": Fault("voc", _append_to_split("val", "p01\n"), "repeated-id"),
    "listed without annotation": Fault("voc", _append_to_split("train", "p77\n"), "missing-annotation"),
    "image without annotation": Fault(
        "voc", lambda root: draw_image(root / "JPEGImages/p77.jpg", 77), "unlabelled-image"
    ),
    "annotation without image": Fault("voc", _change_image(Path.unlink), "missing-image"),
    "annotation in no list": Fault(
        "voc",
        lambda root: [
            (root / "ImageSets/Main" / f"{name}.txt").write_text(
                (root / "ImageSets/Main" / f"{name}.txt").read_text().replace("p05\n", "")
            )
            for name in ("train", "trainval")
        ],
        "unlisted",
    ),
    "cut XML": Fault("voc", _change_xml(lambda text: text[:-30], "p05"), "damaged-annotation"),
    "XML with entities": Fault(
        "voc", _change_xml(lambda text: '<!DOCTYPE a [<!ENTITY b "bb">]>' + text, "p05"), "damaged-annotation"
    ),
    "object without name": Fault("voc", _rename_class("zebra", ""), "damaged-annotation"),
    "number missing": Fault("voc", _set_first_box(5, "", 60, 60), "not-finite"),
    "corners swapped": Fault("voc", _set_first_box(60, 20, 30, 70), "swapped-corners"),
    "no extent": Fault("voc", _set_first_box(60, 20, 60, 70), "no-extent"),
    "outside": Fault("voc", _set_first_box(WIDTH + 5, 20, WIDTH + 40, 70), "outside"),
    "reaching outside": Fault("voc", _set_first_box(150, 20, WIDTH + 9, 70), "reaches-outside"),
    "counted from 0": Fault("voc", _set_first_box(0, 20, 40, 70), "shifted-corners"),
    "tiny": Fault("voc", _set_first_box(60, 20, 61, 21), "tiny"),
    "whole image": Fault("voc", _set_first_box(1, 1, WIDTH, HEIGHT), "whole-image"),
    "one box in fractions": Fault("voc", _set_first_box(0.1, 0.2, 0.5, 0.7), "fractions"),
    "all boxes in fractions": Fault(
        "voc", _change_boxes(lambda a, b, c, d: (a / WIDTH, b / HEIGHT, c / WIDTH, d / HEIGHT)), "fractions", 48
    ),
    "sizes as corners": Fault("voc", _change_boxes(lambda a, b, c, d: (a, b, c - a + 1, d - b + 1)), "misread-boxes"),
    "centres as corners": Fault(
        "voc", _change_boxes(lambda a, b, c, d: ((a + c) // 2, (b + d) // 2, c - a, d - b)), "misread-boxes"
    ),
    "boxed twice": Fault("voc", _add_objects(ZEBRA_OBJECT, ZEBRA_OBJECT), "duplicate-box"),
    "one box, two classes": Fault(
        "voc", _add_objects(ZEBRA_OBJECT, ZEBRA_OBJECT.replace("zebra", "carrot")), "two-classes"
    ),
    "capital letter": Fault("voc", _rename_class("zebra", "Zebra"), "similar-names"),
    "letters exchanged": Fault("voc", _rename_class("carrot", "carrto"), "similar-names"),
    "rare class": Fault("voc", _rename_class("zebra", "piano"), "rare-class"),
    "long thin image": Fault(
        "voc",
        _make_long_and_thin,
        "odd-size",
    ),
    "corners as sizes": Fault("coco", _change_bboxes(lambda x, y, w, h: [x, y, x + w, y + h]), "misread-boxes"),
    "negative width": Fault("coco", _update_annotation(bbox=[90, 20, -30, 40]), "swapped-corners"),
    "infinite": Fault("coco", _update_annotation(bbox=[90, 20, 1e400, 40]), "not-finite"),
    "counted from 1": Fault("coco", _change_bboxes(lambda x, y, w, h: [x + 1, y + 1, w - 1, h - 1]), "shifted-corners"),
    "inclusive": Fault("coco", _change_bboxes(lambda x, y, w, h: [x, y, w - 1, h - 1]), "shifted-corners"),
    "three numbers": Fault("coco", _update_annotation(bbox=[1, 2, 3]), "damaged-annotation"),
    "unknown category": Fault("coco", _update_annotation(category_id=9), "unknown-id"),
    "unknown image": Fault("coco", _update_annotation(image_id=99), "unknown-id"),
    "image that cannot be read": Fault(
        "coco", _change_json(lambda doc: doc["images"][0].update(width="wide"), "train"), "damaged-annotation"
    ),
    "annotation id twice": Fault("coco", _update_annotation(id=1 + 16), "repeated-id"),
    "image id twice": Fault("coco", _change_json(lambda doc: doc["images"].append(doc["images"][0])), "repeated-id"),
    "category twice": Fault(
        "coco", _change_json(lambda doc: doc["categories"].append(doc["categories"][0])), "repeated-id"
    ),
    "annotation without id": Fault("coco", _change_json(lambda doc: doc["annotations"][2].pop("id")), "no-id"),
    "record that is a number": Fault(
        "coco", _change_json(lambda doc: doc["annotations"].append(3)), "damaged-annotation"
    ),
    "cut JSON": Fault(
        "coco", lambda root: (root / "annotations/broken.json").write_text('{"images": ['), "damaged-annotation"
    ),
    "crowd without mask": Fault(
        "coco",
        _change_json(
            lambda doc: [
                item.update(segmentation=_box_polygon(item["bbox"]), iscrowd=0) if place else item.update(iscrowd=1)
                for place, item in enumerate(doc["annotations"])
            ],
            *("train", "val"),
        ),
        "crowd-without-mask",
        2,
    ),
    "mask of two points": Fault("coco", _set_mask(lambda _: [[1, 2, 3, 4]]), "damaged-mask"),
    "mask of runs over another size": Fault(
        "coco", _set_mask(lambda _: {"size": [HEIGHT, WIDTH], "counts": [3, 4]}), "damaged-mask"
    ),
    "mask of half the size": Fault(
        "coco",
        _set_mask(lambda _: {"size": [HEIGHT // 2, WIDTH // 2], "counts": [0, HEIGHT * WIDTH // 4]}),
        "damaged-mask",
    ),
    "mask without a pixel": Fault(
        "coco", _set_mask(lambda _: {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}), "empty-mask"
    ),
    "mask of another object": Fault("coco", _set_mask(lambda box: _box_polygon([0, 0, *box[2:]])), "mask-outside"),
    "bow tie": Fault(
        "coco",
        _set_mask(lambda box: [[box[0], box[1], box[0] + 20, box[1] + 20, box[0] + 20, box[1], box[0], box[1] + 20]]),
        "self-crossing",
    ),
    "mask of a corner": Fault("coco", _set_mask(lambda box: _box_polygon([*box[:2], 5, 5])), "thin-mask"),
    "area of the box of the image": Fault("coco", _set_mask(_box_polygon, area=WIDTH * HEIGHT), "mask-area"),
    "object without a mask": Fault(
        "coco",
        _change_json(
            lambda doc: [item.update(segmentation=_box_polygon(item["bbox"])) for item in doc["annotations"][1:]],
            *("train", "val"),
        ),
        "no-mask",
        2,
    ),
    "image in no file": Fault("coco", lambda root: draw_image(root / "images/p77.jpg", 77), "unlabelled-image"),
    "image gone": Fault("coco", _change_image(Path.unlink, "images"), "missing-image"),
    "class names that differ by a blank": Fault(
        "coco", _change_json(lambda doc: doc["categories"][0].update(name="zebra ")), "similar-names"
    ),
    "pixels as fractions": Fault("yolo", _set_first_line(0, 50, 40, 30, 20), "pixels"),
    "five numbers": Fault("yolo", _set_first_line(0, 0.5, 0.5, 0.2, 0.2, 0.9), "damaged-annotation"),
    "three numbers, YOLO": Fault("yolo", _set_first_line(0, 0.5, 0.5, 0.2), "damaged-annotation"),
    "word as number": Fault("yolo", _set_first_line(0, 0.5, "wide", 0.2, 0.2), "damaged-annotation"),
    "class number too large": Fault("yolo", _set_first_line(7, 0.5, 0.5, 0.2, 0.2), "unknown-id"),
    "outside, YOLO": Fault("yolo", _set_first_line(0, 1.5, 0.5, 0.2, 0.2), "outside"),
    "corners as centres": Fault(
        "yolo",
        _change_lines(
            lambda f: [f[0], *(str(float(f[1 + i % 2]) + sign * float(f[3 + i % 2]) / 2) for i, sign in _CORNER_SIGNS)],
        ),
        "misread-boxes",
    ),
    "labels gone": Fault("yolo", lambda root: (root / "labels/train/p05.txt").unlink(), "unlabelled-image"),
    "labels without image": Fault("yolo", lambda root: (root / "images/train/p05.jpg").unlink(), "missing-image"),
    "split that is not there": Fault("yolo", _append_yaml("test: images/test\n"), "damaged-annotation"),
    "column missing": Fault("csv", _set_first_row("p04.jpg,zebra,1,2,3"), "damaged-annotation"),
    "label missing": Fault("csv", _set_first_row("p04.jpg,,1,2,30,40"), "damaged-annotation"),
    "number missing, CSV": Fault("csv", _set_first_row("p04.jpg,zebra,1,2,,40"), "damaged-annotation"),
    "fractions, CSV": Fault("csv", _set_first_row("p04.jpg,zebra,0.1,0.2,0.5,0.9"), "fractions"),
    "image that is not there": Fault("csv", _set_first_row("p99.jpg,zebra,10,20,50,90"), "missing-image"),
    "sizes as corners, CSV": Fault("csv", _write_sizes_as_corners, "misread-boxes"),
    "columns of another tool": Fault("csv", _name_columns_as_vott, "dialect"),
    "point": Fault("labelme", _add_point, "no-box"),
    "annotation without image, beside": Fault(
        "beside", lambda root: (root / "photos/p05.jpg").unlink(), "missing-image"
    ),
    "same image in train and valid": Fault(
        "roboflow", lambda root: shutil.copy(root / "train/p05.jpg", root / "valid/p01.jpg"), "leak"
    ),
    "image beside the folders of splits": Fault(
        "roboflow",
        lambda root: [(root / "train" / name).rename(root / name) for name in ("p05.jpg", "p05.xml")],
        "unlisted",
    ),
    "two images for an annotation": Fault(
        "voc", lambda root: draw_image(root / "JPEGImages/p05.png", 77), "ambiguous-image"
    ),
    "object with two boxes": Fault(
        "voc", _change_xml(lambda text: text.replace("</bndbox>", "</bndbox><bndbox/>", 1), "p05"), "second-box"
    ),
    "category of the same name": Fault(
        "coco", _change_json(lambda doc: doc["categories"].append({"id": 9, "name": "zebra"})), "unused-category"
    ),
    "class of crowds alone": Fault(
        "coco",
        _change_json(
            lambda doc: [item.update(iscrowd=1) for item in doc["annotations"] if item["category_id"] == 1],
            "train",
            "val",
        ),
        "only-crowds",
    ),
    "two photos with one label file": Fault(
        "yolo", lambda root: draw_image(root / "images/train/p05.png", 77), "shared-labels"
    ),
    "another list of names": Fault("yolo", lambda root: (root / "classes.txt").write_text("zebra\n"), "other-names"),
    "labels of a raw image": Fault(
        "yolo", lambda root: (root / "images/train/p05.jpg").rename(root / "images/train/p05.cr2"), "unread-kind"
    ),
    "deleted object": Fault("voc", _add_objects(_DELETED), "no-object"),
    "lists one folder down": Fault("beside", _write_lists_below, "unread-lists"),
    "other objects in a second file": Fault(
        "csv", lambda root: (root / "more.csv").write_text("p05.jpg,zebra,20,20,60,60\n"), "other-objects"
    ),
    "link to no file": Fault("beside", _link_to_nothing, "missing-image"),
    "linked folder": Fault("beside", lambda root: (root / "photos/more").symlink_to(root), "unread-link"),
    "image alone, beside": Fault("beside", lambda root: (root / "photos/p05.xml").unlink(), "unlabelled-image"),
}
