"""COCO: one JSON file of images, categories and annotations (Lin et al., 2014).

Boxes are ``x y width height`` in the file, 0-based and continuous.
"""

from __future__ import annotations

import json
import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from detect.data.annotations import Annotations, DroppedBox, ImageAnnotation, pack
from detect.data.validity import flaw, misplaced
from detect.errors import UserError, nearest
from detect.files import existing_file, existing_folder
from detect.types import Size

_WORDS = {int: "an integer", float: "a number", str: "text", list: "a list"}


@dataclass
class _Photo:
    file: str
    size: Size
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    categories: list[int] = field(default_factory=list)
    crowd: list[bool] = field(default_factory=list)
    areas: list[float] = field(default_factory=list)


def read_coco(annotation_file: Path, images: Path | Sequence[Path], classes: Sequence[str] | None) -> Annotations:
    """The photos of a COCO annotation file, in the file's order, those without objects included.

    images: the folder that ``file_name`` is relative to, or several of which the first that holds the first photo is
    taken. classes None: the file's categories in the order of their ids. Otherwise an object of a category that is
    not among them is an error. A missing ``iscrowd`` is 0, a missing ``area`` is the box's. Boxes without extent, or
    entirely outside their picture, are dropped and reported. Raises UserError.
    """
    document = _load(annotation_file)
    categories = _read_categories(annotation_file, document)
    photos = _read_images(annotation_file, document, [images] if isinstance(images, Path) else images)
    dropped = _read_objects(annotation_file, document, photos, categories)
    names = list(categories.values()) if classes is None else list(classes)
    labels = _labels(annotation_file, photos, categories, names)
    packed = [_annotation(image_id, photo, labels) for image_id, photo in photos.items()]
    return pack(packed, names, _category_ids(categories, names), dropped)


def _load(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(existing_file(path, "a COCO annotation file").read_bytes())
    except ValueError as error:
        raise UserError(f"{path}: expected COCO JSON, found damaged JSON: {error}") from error
    if not isinstance(document, dict):
        raise UserError(
            f"{path}: expected COCO's object of images, annotations and categories, found another JSON value"
        )
    return document


def _value(path: Path, where: str, record: Any, name: str, kind: type) -> Any:
    """``record[name]``, or a UserError where it is missing or not of ``kind``."""
    if not isinstance(record, dict):
        raise UserError(f"{path}: {where}: expected an object, found {json.dumps(record)[:40]}")
    if name not in record:
        raise UserError(f'{path}: {where}: expected "{name}", found nothing{nearest(name, record)}')
    value = record[name]
    wanted = numbers.Real if kind is float else kind
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise UserError(f'{path}: {where}: "{name}": expected {_WORDS[kind]}, found {json.dumps(value)[:40]}')
    return value


def _read_categories(path: Path, document: dict[str, Any]) -> dict[int, str]:
    """Id to name, in the order of the ids."""
    categories: dict[int, str] = {}
    for place, record in enumerate(_value(path, "top level", document, "categories", list), start=1):
        where = f"category {place}"
        number, name = _value(path, where, record, "id", int), _value(path, where, record, "name", str)
        if number in categories or name in categories.values():
            raise UserError(f'{path}: {where}: expected each category once, found id {number}, "{name}" again')
        categories[number] = name
    return dict(sorted(categories.items()))


def _read_images(path: Path, document: dict[str, Any], folders: Sequence[Path]) -> dict[int, _Photo]:
    """Id to photo, in the file's order."""
    records = _value(path, "top level", document, "images", list)
    folder = _folder(path, records, folders)
    photos: dict[int, _Photo] = {}
    for place, record in enumerate(records, start=1):
        where = f"image {place}"
        number, name = _value(path, where, record, "id", int), _value(path, where, record, "file_name", str)
        height, width = _value(path, where, record, "height", int), _value(path, where, record, "width", int)
        if number in photos:
            raise UserError(f"{path}: {where}: expected each image id once, found {number} again")
        if height < 1 or width < 1:
            raise UserError(f"{path}: {where}: expected a height and width above 0, found {height} and {width}")
        inside = PurePosixPath(name.replace("\\", "/"))
        if inside.is_absolute() or ".." in inside.parts:
            raise UserError(f'{path}: {where}: "file_name": expected a path inside {folder}, found "{name}"')
        file = existing_file(folder / inside, f"image {number} of {path}")
        photos[number] = _Photo(str(file.absolute()), (height, width))
    return photos


def _folder(path: Path, records: Sequence[Any], folders: Sequence[Path]) -> Path:
    """The first folder that holds the first photo; the first of all where none does, for the error to name."""
    if records:
        name = _value(path, "image 1", records[0], "file_name", str)
        folders = [folder for folder in folders if (folder / name).is_file()] or folders
    return existing_folder(folders[0], "the folder of the images")


def _read_objects(
    path: Path, document: dict[str, Any], photos: dict[int, _Photo], categories: dict[int, str]
) -> list[DroppedBox]:
    """Add every annotation to its photo; those that cannot be used are returned."""
    dropped = []
    for place, record in enumerate(_value(path, "top level", document, "annotations", list), start=1):
        where = f"annotation {record['id']}" if isinstance(record, dict) and "id" in record else f"annotation {place}"
        photo = photos.get(_value(path, where, record, "image_id", int))
        if photo is None:
            raise UserError(f'{path}: {where}: "image_id": expected the id of an image, found {record["image_id"]}')
        category = _value(path, where, record, "category_id", int)
        if category not in categories:
            raise UserError(f'{path}: {where}: "category_id": expected the id of a category, found {category}')
        x1, y1, x2, y2 = corners = _corners(path, where, record)
        reason = flaw(corners) or misplaced(corners, photo.size)
        if reason:
            dropped.append(DroppedBox(str(path), f"{where} ({photo.file})", reason))
            continue
        area = _value(path, where, record, "area", float) if record.get("area") is not None else (x2 - x1) * (y2 - y1)
        photo.boxes.append((x1, y1, x2, y2))
        photo.categories.append(category)
        photo.crowd.append(bool(record.get("iscrowd", 0)))
        photo.areas.append(float(area))
    return dropped


def _corners(path: Path, where: str, record: dict[str, Any]) -> tuple[float, float, float, float]:
    """``x1 y1 x2 y2``; a number too large for a float is infinite."""
    values = _value(path, where, record, "bbox", list)
    if len(values) != 4 or not all(isinstance(value, (int, float)) for value in values):
        raise UserError(f'{path}: {where}: "bbox": expected 4 numbers, found {json.dumps(values)[:60]}')
    x, y, width, height = (float(value) if abs(value) < 1e300 else math.inf for value in values)
    return x, y, x + width, y + height


def _labels(path: Path, photos: dict[int, _Photo], categories: dict[int, str], names: Sequence[str]) -> dict[int, int]:
    """Category id to label, for every category that an object has."""
    known = {name: label for label, name in enumerate(names, start=1)}
    for number in sorted({category for photo in photos.values() for category in photo.categories}):
        if categories[number] not in known:
            hint = nearest(categories[number], known)
            raise UserError(f'{path}: expected objects of {len(known)} classes, found "{categories[number]}"{hint}')
    return {number: known[name] for number, name in categories.items() if name in known}


def _category_ids(categories: dict[int, str], names: Sequence[str]) -> list[int]:
    """The file's id of each name; names that the file lacks get unused ids."""
    ids = {name: number for number, name in categories.items()}
    unused = max(categories, default=0) + 1
    return [ids.get(name, unused + place) for place, name in enumerate(names)]


def _annotation(image_id: int, photo: _Photo, labels: dict[int, int]) -> ImageAnnotation:
    return ImageAnnotation(
        file=photo.file,
        image_id=image_id,
        size=photo.size,
        boxes=np.asarray(photo.boxes, np.float64).reshape(-1, 4),
        labels=np.asarray([labels[category] for category in photo.categories], np.int64),
        difficult=np.zeros(len(photo.boxes), bool),
        crowd=np.asarray(photo.crowd, bool),
        areas=np.asarray(photo.areas, np.float64),
    )
