"""COCO: one JSON file of images, categories and annotations (Lin et al., 2014).

Boxes are ``x y width height`` in the file, 0-based and continuous.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detect.data.annotations import Annotations
from detect.data.formats import coco_json
from detect.data.formats.records import (
    LabeledImage,
    LabeledObject,
    LabeledSet,
    invalid_box_reason,
    outside_reason,
    to_annotations,
)
from detect.data.images import image_size
from detect.errors import UserError
from detect.system.files import require_file, require_folder
from detect.types import Size


@dataclass
class _Image:
    """An image of the annotation file and the objects that were added to it so far."""

    file: Path
    name: str
    size: Size
    objects: list[LabeledObject] = field(default_factory=list)


def read_coco(annotation_file: Path, images: Path | Sequence[Path], classes: Sequence[str] | None) -> Annotations:
    """Return the images of a COCO annotation file, in the file's order, including those without objects.

    images: the folder to which ``file_name`` is relative, or several folders, of which the first that contains the
    first image is used. classes None: the file's categories in the order of their ids; otherwise an object of a
    category that is not among ``classes`` is an error. A missing ``iscrowd`` is 0, a missing ``area`` is that of the
    box, and missing sizes are read from the image. Boxes without extent, or entirely outside their image, are dropped
    and reported. Raises UserError.
    """
    return to_annotations(coco_images(annotation_file, images), classes)


def coco_images(annotation_file: Path, images: Path | Sequence[Path]) -> LabeledSet:
    """Return the images of a COCO annotation file with all their objects, valid or not.

    In addition to COCO's own keys an annotation may have VOC's ``difficult``, ``truncated`` and ``pose``, and
    ``corners``, which holds ``x1 y1 x2 y2`` where ``bbox`` cannot: the last bit of x + width differs. Raises UserError.
    """
    document = coco_json.load_document(annotation_file)
    categories = _read_categories(annotation_file, document)
    image_files = _read_images(annotation_file, document, [images] if isinstance(images, Path) else images)
    _read_annotations(annotation_file, document, image_files, categories)
    labeled = (
        LabeledImage(image.file, image.name, annotation_file, image.size, image_id, tuple(image.objects))
        for image_id, image in image_files.items()
    )
    return LabeledSet(tuple(labeled), {name: image_id for image_id, name in categories.items()})


def _read_categories(path: Path, document: dict[str, Any]) -> dict[int, str]:
    """Return the name of each category id, in the order of the ids."""
    categories: dict[int, str] = {}
    for index, record in enumerate(coco_json.get_records(path, document, "categories"), start=1):
        category = coco_json.parse_category(path, index, record)
        if category.id in categories or category.name in categories.values():
            repeated = f'id {category.id}, "{category.name}"'
            raise UserError(f"{path}: category {index}: expected each category once, found {repeated} again")
        categories[category.id] = category.name
    return dict(sorted(categories.items()))


def _read_images(path: Path, document: dict[str, Any], folders: Sequence[Path]) -> dict[int, _Image]:
    """Return the image of each image id, in the file's order."""
    records = coco_json.get_records(path, document, "images")
    folder = _find_image_folder(path, records, folders)
    images: dict[int, _Image] = {}
    for index, record in enumerate(records, start=1):
        image = coco_json.parse_image(path, index, record)
        if image.id in images:
            raise UserError(f"{path}: image {index}: expected each image id once, found {image.id} again")
        file = require_file(folder / image.name, f"image {image.id} of {path}")
        images[image.id] = _Image(file.absolute(), image.name.as_posix(), image.size or image_size(file))
    return images


def _find_image_folder(path: Path, records: Sequence[Any], folders: Sequence[Path]) -> Path:
    """Return the first folder that contains the first image; if none does, the first of all, for the error message."""
    if records:
        name = coco_json.parse_file_name(path, 1, records[0])
        folders = [folder for folder in folders if (folder / name).is_file()] or folders
    return require_folder(folders[0], "the folder of the images")


def _read_annotations(
    path: Path, document: dict[str, Any], images: dict[int, _Image], categories: dict[int, str]
) -> None:
    """Add each annotation to its image."""
    for index, record in enumerate(coco_json.get_records(path, document, "annotations"), start=1):
        annotation = coco_json.parse_annotation(path, index, record)
        image = images.get(annotation.image_id)
        if image is None:
            expected = f"expected the id of an image, found {annotation.image_id}"
            raise UserError(f'{path}: {annotation.location}: "image_id": {expected}')
        if annotation.category_id not in categories:
            expected = f"expected the id of a category, found {annotation.category_id}"
            raise UserError(f'{path}: {annotation.location}: "category_id": {expected}')
        image.objects.append(
            LabeledObject(
                location=f"{annotation.location} of {image.name}",
                name=categories[annotation.category_id],
                box=annotation.corners,
                invalid_reason=invalid_box_reason(annotation.corners) or outside_reason(annotation.corners, image.size),
                difficult=annotation.difficult,
                crowd=annotation.crowd,
                truncated=annotation.truncated,
                pose=annotation.pose,
                area=annotation.area,
                has_mask=annotation.has_mask,
            )
        )
