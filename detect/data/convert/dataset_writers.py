"""Formats the label files of a data set in each format. ``convert.py`` writes them and adds the images."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import yaml

from detect.data.convert.convertible_dataset import ConvertibleDataset
from detect.data.convert.yolo_polygons import yolo_polygon
from detect.data.formats.csv_columns import COLUMNS, OPTIONAL_COLUMNS
from detect.data.formats.detect_format import WritableFormat
from detect.data.formats.mask_json import mask_record
from detect.data.formats.numbers import format_center_box, format_float, format_plus_one
from detect.data.formats.records import Corners, LabeledImage, LabeledObject
from detect.data.formats.split_names import ROBOFLOW_FILES
from detect.data.formats.voc_xml import UNSPECIFIED
from detect.data.formats.yolo import label_file
from detect.data.masks import RleMask, mask_area, rasterize
from detect.errors import UserError
from detect.system.yaml_files import Dumper
from detect.types import Size

IMAGE_FOLDERS = {"voc": "JPEGImages", "coco": "images", "yolo": "images", "csv": "images"}
"""The folder that holds the images, for each format."""


def label_files(dataset: ConvertibleDataset, names: dict[Path, str], format: WritableFormat) -> dict[str, str]:  # noqa: A002
    """Return path inside the new folder to text; names: the path of each image file inside the folder of images.

    Raises UserError if two splits would be written to the same file.
    """
    file_names = [_split_file_name(name) for name in dataset.splits]
    for split, file_name in zip(dataset.splits, file_names, strict=True):
        if file_names.count(file_name) > 1:
            raise UserError(f"{split}: expected a different file name for each split, found two named {file_name}")
    writers = {"voc": _voc_files, "coco": _coco_files, "yolo": _yolo_files, "csv": _csv_files}
    return writers[format](dataset, names)


def _voc_files(dataset: ConvertibleDataset, names: dict[Path, str]) -> dict[str, str]:
    files = {
        f"Annotations/{_stem(names[file])}.xml": _voc_xml(image, names[file])
        for file, image in dataset.images().items()
    }
    for name, images in dataset.splits.items():
        stems = [_stem(names[image.file]) for image in images]
        files[f"ImageSets/Main/{_split_file_name(name)}.txt"] = "".join(f"{stem}\n" for stem in stems)
    return files


def _voc_xml(image: LabeledImage, name: str) -> str:
    root = Element("annotation")
    SubElement(root, "filename").text = name
    size = SubElement(root, "size")
    for tag, value in zip(("width", "height", "depth"), (*image.known_size[::-1], 3), strict=True):
        SubElement(size, tag).text = str(value)
    for instance in image.objects:
        element = SubElement(root, "object")
        x1, y1, x2, y2 = instance.box
        flags = {"occluded": instance.occluded, "iscrowd": instance.crowd}  # VOC2007 has neither, VOC2012 the first
        optional = {tag: "1" for tag, flag in flags.items() if flag}
        fields = {
            "name": instance.name,
            "pose": instance.pose or UNSPECIFIED,
            "truncated": str(int(instance.truncated)),
            "difficult": str(int(instance.difficult)),
        }
        for tag, text in (fields | optional).items():
            SubElement(element, tag).text = text
        box = SubElement(element, "bndbox")
        corners = (format_plus_one(x1), format_plus_one(y1), format_float(x2), format_float(y2))
        for tag, text in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
            SubElement(box, tag).text = text
    indent(root)
    return tostring(root, encoding="unicode") + "\n"


def _coco_files(dataset: ConvertibleDataset, names: dict[Path, str]) -> dict[str, str]:
    categories = [{"id": category_id, "name": name} for name, category_id in dataset.categories.items()]
    files = {}
    for name, image_files in dataset.splits.items():
        images = [
            {
                "id": image.image_id,
                "file_name": names[image.file],
                "width": image.known_size[1],
                "height": image.known_size[0],
            }
            for image in image_files
        ]
        instances = [(image, instance) for image in image_files for instance in image.objects]
        annotations = [
            _coco_annotation(annotation_id, image.image_id, dataset.categories[instance.name], instance)
            | _coco_mask(instance, image.known_size)
            for annotation_id, (image, instance) in enumerate(instances, start=1)
        ]
        tables = {"images": images, "annotations": annotations, "categories": categories}
        entries = (f'"{key}": [\n' + ",\n".join(map(_dump_json, rows)) + "\n]" for key, rows in tables.items())
        files[f"{_split_file_name(name)}.json"] = "{" + ",\n".join(entries) + "}\n"
    return files


def _coco_annotation(annotation_id: int, image_id: int, category_id: int, instance: LabeledObject) -> dict[str, Any]:
    x1, y1, x2, y2 = instance.box
    width, height = x2 - x1, y2 - y1
    record: dict[str, Any] = {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": [_without_trailing_zero(value) for value in (x1, y1, width, height)],
        "area": _without_trailing_zero(width * height if instance.area is None else instance.area),
        "iscrowd": int(instance.crowd),
    }
    if (x1 + width, y1 + height) != (x2, y2):
        record["corners"] = list(instance.box)
    nonstandard = {
        "difficult": int(instance.difficult),
        "truncated": int(instance.truncated),
        "occluded": int(instance.occluded),
        "pose": instance.pose,
    }
    return record | {name: value for name, value in nonstandard.items() if value}


def _coco_mask(instance: LabeledObject, size: Size) -> dict[str, Any]:
    """Return the segmentation of an object in an image of ``size`` (h, w), and its area where the object states none.

    Polygons stay as they are, to the last bit.
    """
    if instance.mask is None:
        return {}
    area = {} if instance.area is not None else {"area": mask_area(rasterize(instance.mask, size))}
    if isinstance(instance.mask, RleMask):
        return {"segmentation": mask_record(instance.mask), **area}
    return {"segmentation": [list(map(_without_trailing_zero, ring)) for ring in instance.mask.rings], **area}


_DATA_KEYS = ("names", "nc", "path")  # of data.yaml, which are no splits


def _yolo_files(dataset: ConvertibleDataset, names: dict[Path, str]) -> dict[str, str]:
    class_indices = {name: index for index, name in enumerate(dataset.categories)}
    label_paths = _yolo_label_paths(names)
    files = {}
    for file, image in dataset.images().items():
        lines = [
            f"{class_indices[instance.name]} {' '.join(_yolo_numbers(instance, image.known_size))}\n"
            for instance in image.objects
        ]
        files[label_paths[file]] = "".join(lines)
    entries: dict[str, Any] = {}
    for name, images in dataset.splits.items():
        if _split_file_name(name) in _DATA_KEYS:
            raise UserError(f"--to yolo: expected splits of other names than {', '.join(_DATA_KEYS)}, found {name}")
        entries[_split_file_name(name)] = f"{_split_file_name(name)}.txt"
        files[f"{_split_file_name(name)}.txt"] = "".join(f"./images/{names[image.file]}\n" for image in images)
    entries["names"] = dict(enumerate(dataset.categories))
    files["data.yaml"] = yaml.dump(entries, Dumper=Dumper, sort_keys=False, allow_unicode=True)
    return files


def _yolo_label_paths(names: dict[Path, str]) -> dict[Path, str]:
    """Return the path of each image's label file. Raises UserError if two images have the same.

    The photos ``images/labels/a.jpg`` and ``labels/images/a.jpg`` have.
    """
    paths = {file: label_file(Path(IMAGE_FOLDERS["yolo"], name)).as_posix() for file, name in names.items()}
    first: dict[str, Path] = {}
    for file, path in paths.items():
        other = first.setdefault(path, file)
        if other != file:
            raise UserError(f"{file}: expected a label file of its own, found that {other} has it: {path}")
    return paths


def _yolo_numbers(instance: LabeledObject, size: Size) -> Sequence[str]:
    """Return the numbers of an object's line: its polygon where that gives the same box again, else its box.

    A line with a polygon has no box of its own: readers take the one around it.
    """
    polygon = yolo_polygon(instance, size)
    return polygon or format_center_box(instance.box, size)


def _csv_files(dataset: ConvertibleDataset, names: dict[Path, str]) -> dict[str, str]:
    has_flags = any(any(_csv_flags(instance)) for instance in dataset.objects())
    columns = (*COLUMNS, *OPTIONAL_COLUMNS) if has_flags else COLUMNS
    files = {}
    for name, images in dataset.splits.items():
        stream = io.StringIO()
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(columns)
        for image in images:
            rows.writerows(_csv_row(names[image.file], instance, has_flags) for instance in image.objects)
            if not image.objects:
                rows.writerow([names[image.file], *[""] * (len(columns) - 1)])
        files[f"{_split_file_name(name)}.csv"] = stream.getvalue()
    return files


def _csv_row(name: str, instance: LabeledObject, has_flags: bool) -> Sequence[str]:
    return [name, instance.name, *_format_corners(instance.box), *(_csv_flags(instance) if has_flags else ())]


def _csv_flags(instance: LabeledObject) -> list[str]:
    flags = (instance.difficult, instance.crowd, instance.truncated)
    return [*("1" if flag else "" for flag in flags), instance.pose]


def _format_corners(box: Corners) -> list[str]:
    return [format_float(value) for value in box]


def _without_trailing_zero(value: float) -> float | int:
    """Return whole numbers as integers, so that they are written without a decimal point. The reader takes both."""
    return int(value) if value.is_integer() else value


def _dump_json(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False)


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _split_file_name(name: str) -> str:
    """Return the file name for a split. COCO's split names may include a folder, which names Roboflow's splits."""
    folder, _, file = name.rpartition("/")
    return folder if file in ROBOFLOW_FILES else file
