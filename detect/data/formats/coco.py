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
from detect.data.formats.records import LabelledImage, LabelledObject, LabelledSet, annotations_of, flaw, misplaced
from detect.data.images import image_size
from detect.errors import UserError
from detect.system.files import existing_file, existing_folder
from detect.types import Size


@dataclass
class _Image:
    file: Path
    name: str
    size: Size
    objects: list[LabelledObject] = field(default_factory=list)


def read_coco(annotation_file: Path, images: Path | Sequence[Path], classes: Sequence[str] | None) -> Annotations:
    """The images of a COCO annotation file, in the file's order, those without objects included.

    images: the folder that ``file_name`` is relative to, or several of which the first that holds the first image is
    taken. classes None: the file's categories in the order of their ids. Otherwise an object of a category that is
    not among them is an error. A missing ``iscrowd`` is 0, a missing ``area`` is the box's,
    missing sizes are the image's. Boxes without extent, or
    entirely outside their picture, are dropped and reported. Raises UserError.
    """
    return annotations_of(coco_images(annotation_file, images), classes)


def coco_images(annotation_file: Path, images: Path | Sequence[Path]) -> LabelledSet:
    """The images of a COCO annotation file as it gives them.

    Beside COCO's own keys, ``difficult``, ``truncated`` and ``pose`` of an annotation are VOC's; ``corners`` says
    ``x1 y1 x2 y2`` where ``bbox`` cannot: x + width has another last bit. Raises UserError.
    """
    document = coco_json.load_document(annotation_file)
    categories = _read_categories(annotation_file, document)
    image_files = _read_images(annotation_file, document, [images] if isinstance(images, Path) else images)
    _read_objects(annotation_file, document, image_files, categories)
    labelled = (
        LabelledImage(image.file, image.name, annotation_file, image.size, image_id, tuple(image.objects))
        for image_id, image in image_files.items()
    )
    return LabelledSet(tuple(labelled), {name: image_id for image_id, name in categories.items()})


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


def _read_images(path: Path, document: dict[str, Any], folders: Sequence[Path]) -> dict[int, _Image]:
    """Id to image, in the file's order."""
    records = coco_json.records(path, document, "images")
    folder = _folder(path, records, folders)
    images: dict[int, _Image] = {}
    for place, record in enumerate(records, start=1):
        found = coco_json.image(path, place, record)
        if found.id in images:
            raise UserError(f"{path}: image {place}: expected each image id once, found {found.id} again")
        file = existing_file(folder / found.name, f"image {found.id} of {path}")
        images[found.id] = _Image(file.absolute(), found.name.as_posix(), found.size or image_size(file))
    return images


def _folder(path: Path, records: Sequence[Any], folders: Sequence[Path]) -> Path:
    """The first folder that holds the first image; the first of all where none does, for the error to name."""
    if records:
        name = coco_json.file_name(path, 1, records[0])
        folders = [folder for folder in folders if (folder / name).is_file()] or folders
    return existing_folder(folders[0], "the folder of the images")


def _read_objects(path: Path, document: dict[str, Any], images: dict[int, _Image], categories: dict[int, str]) -> None:
    """Add every annotation to its image."""
    for place, record in enumerate(coco_json.records(path, document, "annotations"), start=1):
        found = coco_json.object_record(path, place, record)
        image = images.get(found.image_id)
        if image is None:
            expected = f"expected the id of an image, found {found.image_id}"
            raise UserError(f'{path}: {found.where}: "image_id": {expected}')
        if found.category_id not in categories:
            expected = f"expected the id of a category, found {found.category_id}"
            raise UserError(f'{path}: {found.where}: "category_id": {expected}')
        image.objects.append(
            LabelledObject(
                where=f"{found.where} of {image.name}",
                name=categories[found.category_id],
                box=found.corners,
                flaw=flaw(found.corners) or misplaced(found.corners, image.size),
                difficult=found.difficult,
                crowd=found.crowd,
                truncated=found.truncated,
                pose=found.pose,
                area=found.area,
                outlined=found.outlined,
            )
        )
