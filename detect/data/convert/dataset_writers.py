"""A data set as the files of each format; images are put beside them by ``convert``."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import yaml

from detect.data.convert.convertible_dataset import DataSet
from detect.data.formats.csv_files import COLUMNS, MARKS
from detect.data.formats.detect_format import ROBOFLOW, BoxFormat
from detect.data.formats.numbers import plain, plus_one, to_centre
from detect.data.formats.records import Corners, LabelledImage, LabelledObject
from detect.data.formats.voc_xml import UNSPECIFIED
from detect.errors import UserError

IMAGES = {"voc": "JPEGImages", "coco": "images", "yolo": "images", "csv": "images"}
"""The folder of images of each format."""


def label_files(data: DataSet, names: dict[Path, str], format: BoxFormat) -> dict[str, str]:  # noqa: A002
    """Path in the new folder to content; names: image file to its path in the folder of images.

    Raises UserError where two lists would be one file.
    """
    flat = [_flat(name) for name in data.lists]
    repeated = next((name for name in data.lists if flat.count(_flat(name)) > 1), None)
    if repeated is not None:
        raise UserError(f"{repeated}: expected each list's file to have a name of its own, found two {_flat(repeated)}")
    return {"voc": _voc, "coco": _coco, "yolo": _yolo, "csv": _csv}[format](data, names)


def _voc(data: DataSet, names: dict[Path, str]) -> dict[str, str]:
    files = {
        f"Annotations/{_stem(names[file])}.xml": _page(image, names[file]) for file, image in data.images().items()
    }
    for name, images in data.lists.items():
        stems = [_stem(names[image.image]) for image in images]
        files[f"ImageSets/Main/{_flat(name)}.txt"] = "".join(f"{stem}\n" for stem in stems)
    return files


def _page(image: LabelledImage, name: str) -> str:
    page = Element("annotation")
    SubElement(page, "filename").text = name
    size = SubElement(page, "size")
    for tag, value in zip(("width", "height", "depth"), (*image.size[::-1], 3), strict=True):
        SubElement(size, tag).text = str(value)
    for item in image.objects:
        element = SubElement(page, "object")
        x1, y1, x2, y2 = item.box
        marks = {"iscrowd": "1"} if item.crowd else {}
        texts = {
            "name": item.name,
            "pose": item.pose or UNSPECIFIED,
            "truncated": str(int(item.truncated)),
            "difficult": str(int(item.difficult)),
        }
        for tag, text in (texts | marks).items():
            SubElement(element, tag).text = text
        box = SubElement(element, "bndbox")
        corners = (plus_one(x1), plus_one(y1), plain(x2), plain(y2))
        for tag, text in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
            SubElement(box, tag).text = text
    indent(page)
    return tostring(page, encoding="unicode") + "\n"


def _coco(data: DataSet, names: dict[Path, str]) -> dict[str, str]:
    categories = [{"id": number, "name": name} for name, number in data.categories.items()]
    files = {}
    for name, image_files in data.lists.items():
        images = [
            {"id": image.image_id, "file_name": names[image.image], "width": image.size[1], "height": image.size[0]}
            for image in image_files
        ]
        pairs = [(image.image_id, item) for image in image_files for item in image.objects]
        objects = [
            _annotation(number, image_id, data.categories[item.name], item)
            for number, (image_id, item) in enumerate(pairs, start=1)
        ]
        parts = {"images": images, "annotations": objects, "categories": categories}
        lists = (f'"{key}": [\n' + ",\n".join(map(_json, rows)) + "\n]" for key, rows in parts.items())
        files[f"{_flat(name)}.json"] = "{" + ",\n".join(lists) + "}\n"
    return files


def _annotation(number: int, image_id: int, category_id: int, item: LabelledObject) -> dict[str, Any]:
    x1, y1, x2, y2 = item.box
    width, height = x2 - x1, y2 - y1
    record: dict[str, Any] = {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": [_number(value) for value in (x1, y1, width, height)],
        "area": _number(width * height if item.area is None else item.area),
        "iscrowd": int(item.crowd),
    }
    if (x1 + width, y1 + height) != (x2, y2):
        record["corners"] = list(item.box)
    marks = {"difficult": int(item.difficult), "truncated": int(item.truncated), "pose": item.pose}
    return record | {name: value for name, value in marks.items() if value}


def _yolo(data: DataSet, names: dict[Path, str]) -> dict[str, str]:
    numbers = {name: number for number, name in enumerate(data.categories)}
    files = {}
    for file, image in data.images().items():
        lines = [f"{numbers[item.name]} {' '.join(to_centre(item.box, image.size))}\n" for item in image.objects]
        files[f"labels/{PurePosixPath(names[file]).with_suffix('.txt')}"] = "".join(lines)
    entries: dict[str, Any] = {}
    for name, images in data.lists.items():
        entries[_flat(name)] = f"{_flat(name)}.txt"
        files[f"{_flat(name)}.txt"] = "".join(f"./images/{names[image.image]}\n" for image in images)
    entries["names"] = dict(enumerate(data.categories))
    files["data.yaml"] = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True)
    return files


def _csv(data: DataSet, names: dict[Path, str]) -> dict[str, str]:
    marked = any(any(_marks(item)) for item in data.objects())
    columns = (*COLUMNS, *MARKS) if marked else COLUMNS
    files = {}
    for name, images in data.lists.items():
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(columns)
        for image in images:
            rows.writerows(_row(names[image.image], item, marked) for item in image.objects)
            if not image.objects:
                rows.writerow([names[image.image], *[""] * (len(columns) - 1)])
        files[f"{_flat(name)}.csv"] = text.getvalue()
    return files


def _row(name: str, item: LabelledObject, marked: bool) -> Sequence[str]:
    return [name, item.name, *_texts(item.box), *(_marks(item) if marked else ())]


def _marks(item: LabelledObject) -> list[str]:
    flags = (item.difficult, item.crowd, item.truncated)
    return [*("1" if flag else "" for flag in flags), item.pose]


def _texts(box: Corners) -> list[str]:
    return [plain(value) for value in box]


def _number(value: float) -> float | int:
    """Whole numbers without a point; the reader takes both."""
    return int(value) if value.is_integer() else value


def _json(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False)


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _flat(name: str) -> str:
    """A list's name as a file's: COCO's may be in a folder, and Roboflow's is named for its folder."""
    folder, _, file = name.rpartition("/")
    return folder if file == ROBOFLOW else file
