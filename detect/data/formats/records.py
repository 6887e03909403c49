"""What a label file says of an image, the same record from every format, before labels become numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from detect.data.annotations import Annotations, DroppedBox, ImageAnnotation, pack
from detect.errors import UserError, nearest
from detect.types import Size

Corners = tuple[float, float, float, float]


class LabelledObject(NamedTuple):
    """An object as its file gives it, usable or not.

    where: "object 3", "line 3", "annotation 12": its place in the file; name: its class; box: continuous x1 y1 x2 y2;
    flaw: why it cannot be used, None where it can; area: COCO's own, None where it is the box's; outlined: whether
    there is an outline (COCO's segmentation), which is not read.
    """

    where: str
    name: str
    box: Corners
    flaw: str | None = None
    difficult: bool = False
    crowd: bool = False
    truncated: bool = False
    pose: str = ""
    area: float | None = None
    outlined: bool = False


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image and its objects in the order of their file.

    image: absolute; name: the path below its folder of images, with slashes; labels: the file that the objects are in,
    which need not exist where there are none; size (h, w), upright.
    """

    image: Path
    name: str
    labels: Path
    size: Size
    image_id: int
    objects: tuple[LabelledObject, ...]


@dataclass(frozen=True)
class LabelledSet:
    """The images of one list; categories: class name to id in the format's order, None where it lists no classes."""

    images: tuple[LabelledImage, ...]
    categories: Mapping[str, int] | None = None


def annotations_of(labelled: LabelledSet, classes: Sequence[str] | None) -> Annotations:
    """Packed, the objects that cannot be used dropped and reported.

    classes None: the format's own, else the names found, sorted. Raises UserError for an object of another class.
    """
    own = labelled.categories
    usable = {item.name for image in labelled.images for item in image.objects if item.flaw is None}
    names = list(classes) if classes is not None else sorted(usable) if own is None else list(own)
    numbers = {} if own is None else dict(own)
    unused = max(numbers.values(), default=0) + 1
    labels = {name: label for label, name in enumerate(names, start=1)}
    dropped = [
        DroppedBox(str(image.labels), f"{item.where} ({item.name})", item.flaw)
        for image in labelled.images
        for item in image.objects
        if item.flaw is not None
    ]
    images = [_annotation(image, labels) for image in labelled.images]
    return pack(images, names, [numbers.get(name, unused + place) for place, name in enumerate(names)], dropped)


def image_ids(names: Sequence[str]) -> list[int]:
    """The number that each file is named for, where all are and all differ; else their places from 1."""
    stems = [PurePosixPath(name).stem for name in names]
    numbers = [int(stem) for stem in stems if stem.isascii() and stem.isdigit()]
    numbered = len(numbers) == len(set(numbers)) == len(stems) and max(numbers, default=0) < 2**63
    return numbers if numbered else list(range(1, len(stems) + 1))


def _annotation(image: LabelledImage, labels: Mapping[str, int]) -> ImageAnnotation:
    objects = [item for item in image.objects if item.flaw is None]
    for item in objects:
        if item.name not in labels:
            expected, hint = f"one of {len(labels)} classes", nearest(item.name, labels)
            raise UserError(f'{image.labels}: {item.where}: expected {expected}, found "{item.name}"{hint}')
    boxes = np.asarray([item.box for item in objects], np.float64).reshape(-1, 4)
    spans = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    areas = [span if item.area is None else item.area for item, span in zip(objects, spans, strict=True)]
    return ImageAnnotation(
        file=str(image.image),
        image_id=image.image_id,
        size=image.size,
        boxes=boxes,
        labels=np.asarray([labels[item.name] for item in objects], np.int64),
        difficult=np.asarray([item.difficult for item in objects], bool),
        crowd=np.asarray([item.crowd for item in objects], bool),
        areas=np.asarray(areas, np.float64),
    )


def flaw(corners: Sequence[float]) -> str | None:
    """Why ``x1 y1 x2 y2``, by the file's own numbers, is no box; None where it is one."""
    x1, y1, x2, y2 = corners
    if not all(map(math.isfinite, corners)):
        return f"a box that is not finite: {_listed(corners)}"
    if x2 <= x1 or y2 <= y1:
        return f"a box without extent: {_listed(corners)}"
    return None


def misplaced(box: Sequence[float], size: Size) -> str | None:
    """Why a continuous ``x1 y1 x2 y2`` shows nothing of a picture of ``size``; None where they overlap."""
    x1, y1, x2, y2 = box
    height, width = size
    if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
        return f"a box outside its {width} x {height} picture: {_listed(box)}"
    return None


def _listed(numbers: Sequence[float]) -> str:
    return " ".join(f"{number:g}" for number in numbers)
