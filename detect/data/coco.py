"""COCO: one JSON file of images, categories and annotations (Lin et al., 2014).

Boxes are ``x y width height`` in the file, 0-based and continuous.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from detect.data import coco_json
from detect.data.annotations import Annotations, DroppedBox, ImageAnnotation, pack
from detect.data.validity import flaw, misplaced
from detect.errors import UserError, nearest
from detect.files import existing_file, existing_folder
from detect.types import Size


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
    document = coco_json.load_document(annotation_file)
    categories = _read_categories(annotation_file, document)
    photos = _read_images(annotation_file, document, [images] if isinstance(images, Path) else images)
    dropped = _read_objects(annotation_file, document, photos, categories)
    names = list(categories.values()) if classes is None else list(classes)
    labels = _labels(annotation_file, photos, categories, names)
    packed = [_annotation(image_id, photo, labels) for image_id, photo in photos.items()]
    return pack(packed, names, _category_ids(categories, names), dropped)


def _read_categories(path: Path, document: dict[str, Any]) -> dict[int, str]:
    """Id to name, in the order of the ids."""
    categories: dict[int, str] = {}
    for place, record in enumerate(coco_json.records(path, document, "categories"), start=1):
        found = coco_json.category(path, place, record)
        if found.id in categories or found.name in categories.values():
            expected = f'expected each category once, found id {found.id}, "{found.name}" again'
            raise UserError(f"{path}: category {place}: {expected}")
        categories[found.id] = found.name
    return dict(sorted(categories.items()))


def _read_images(path: Path, document: dict[str, Any], folders: Sequence[Path]) -> dict[int, _Photo]:
    """Id to photo, in the file's order."""
    records = coco_json.records(path, document, "images")
    folder = _folder(path, records, folders)
    photos: dict[int, _Photo] = {}
    for place, record in enumerate(records, start=1):
        found = coco_json.image(path, place, record)
        if found.id in photos:
            raise UserError(f"{path}: image {place}: expected each image id once, found {found.id} again")
        file = existing_file(folder / found.name, f"image {found.id} of {path}")
        photos[found.id] = _Photo(str(file.absolute()), found.size)
    return photos


def _folder(path: Path, records: Sequence[Any], folders: Sequence[Path]) -> Path:
    """The first folder that holds the first photo; the first of all where none does, for the error to name."""
    if records:
        name = coco_json.file_name(path, 1, records[0])
        folders = [folder for folder in folders if (folder / name).is_file()] or folders
    return existing_folder(folders[0], "the folder of the images")


def _read_objects(
    path: Path, document: dict[str, Any], photos: dict[int, _Photo], categories: dict[int, str]
) -> list[DroppedBox]:
    """Add every annotation to its photo; those that cannot be used are returned."""
    dropped = []
    for place, record in enumerate(coco_json.records(path, document, "annotations"), start=1):
        found = coco_json.object_record(path, place, record)
        photo = photos.get(found.image_id)
        if photo is None:
            expected = f"expected the id of an image, found {found.image_id}"
            raise UserError(f'{path}: {found.where}: "image_id": {expected}')
        if found.category_id not in categories:
            expected = f"expected the id of a category, found {found.category_id}"
            raise UserError(f'{path}: {found.where}: "category_id": {expected}')
        reason = flaw(found.corners) or misplaced(found.corners, photo.size)
        if reason:
            dropped.append(DroppedBox(str(path), f"{found.where} ({photo.file})", reason))
            continue
        x1, y1, x2, y2 = found.corners
        photo.boxes.append(found.corners)
        photo.categories.append(found.category_id)
        photo.crowd.append(found.crowd)
        photo.areas.append((x2 - x1) * (y2 - y1) if found.area is None else found.area)
    return dropped


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
