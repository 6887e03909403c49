"""The records that every reader returns: images and objects as their label files describe them, with class names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from detect.data.annotations import Annotations, DroppedBox, ImageAnnotation
from detect.data.masks import Mask, PackedMasks
from detect.errors import UserError, did_you_mean
from detect.types import Size

Corners = tuple[float, float, float, float]


class LabeledObject(NamedTuple):
    """An object as its file describes it, valid or not.

    location: where it is in the file ("object 3", "line 3", "annotation 12"); name: its class; box: continuous x1 y1 x2
    y2; invalid_reason: why its box cannot be used, None if it can; area: COCO's own, None where it is that of the box;
    has_mask: True if the file has an outline (COCO's segmentation); own_numbers: the four numbers of the file in its
    own order and units, None where they are those of ``box`` or follow from it (CSV, COCO); mask: the outline, None
    where there is none, where it cannot be read, and where the reader was not asked for masks; occluded, truncated: as
    VOC has them, a part of the object is hidden, or outside the image.
    """

    location: str
    name: str
    box: Corners
    invalid_reason: str | None = None
    difficult: bool = False
    crowd: bool = False
    truncated: bool = False
    pose: str = ""
    area: float | None = None
    has_mask: bool = False
    own_numbers: Corners | None = None
    mask: Mask | None = None
    occluded: bool = False


@dataclass(frozen=True, slots=True)
class LabeledImage:
    """An image and its objects in the order of their file.

    file: absolute path; name: the path below its folder of images, with slashes; label_file: the file that contains the
    objects, which need not exist if there are none; size: (h, w), upright, by which the boxes are judged (see
    ``sizes.py``), None where the image cannot be read; declared_size: (h, w) as the label file states it, None where it
    states none.
    """

    file: Path
    name: str
    label_file: Path
    size: Size | None
    image_id: int
    objects: tuple[LabeledObject, ...]
    declared_size: Size | None = None

    @property
    def known_size(self) -> Size:
        """Return the (h, w). Raises ValueError where the image cannot be read."""
        if self.size is None:
            raise ValueError(f"{self.file}: expected an image whose size is known")
        return self.size


@dataclass(frozen=True)
class LabeledSet:
    """The images of one split; categories: id of each class name in the format's order, None where it lists none."""

    images: tuple[LabeledImage, ...]
    categories: Mapping[str, int] | None = None


def to_annotations(labeled: LabeledSet, classes: Sequence[str] | None, masks: bool = False) -> Annotations:
    """Return the images as arrays; objects with an invalid box are dropped and reported.

    Images of unknown size, which only inspection and statistics meet, are left out. classes None: those of the format,
    else the names of the valid objects, sorted; masks: whether to take the objects' masks too. Raises UserError for an
    object of another class.
    """
    format_ids = labeled.categories
    valid_names = {
        instance.name for image in labeled.images for instance in image.objects if instance.invalid_reason is None
    }
    names = list(classes) if classes is not None else sorted(valid_names) if format_ids is None else list(format_ids)
    category_ids = {} if format_ids is None else dict(format_ids)
    next_id = max(category_ids.values(), default=0) + 1
    labels = {name: label for label, name in enumerate(names, start=1)}
    dropped = [
        DroppedBox(str(image.label_file), f"{instance.location} ({instance.name})", instance.invalid_reason)
        for image in labeled.images
        for instance in image.objects
        if instance.invalid_reason is not None
    ]
    images = [_to_annotation(image, labels, masks) for image in labeled.images if image.size is not None]
    return Annotations.from_images(
        images, names, [category_ids.get(name, next_id + i) for i, name in enumerate(names)], dropped
    )


def same_objects(first: LabeledImage, second: LabeledImage) -> bool:
    """Return True if two label files describe the same objects of an image, wherever in the files they are."""
    both = [
        [instance._replace(location="", own_numbers=None) for instance in image.objects] for image in (first, second)
    ]
    return both[0] == both[1]


def image_ids(names: Sequence[str]) -> list[int]:
    """Return the number that is each file's name, if all are distinct numbers; otherwise 1, 2, 3, ..."""
    stems = [PurePosixPath(name).stem for name in names]
    numbers = [int(stem) for stem in stems if stem.isascii() and stem.isdigit()]
    numbered = len(numbers) == len(set(numbers)) == len(stems) and max(numbers, default=0) < 2**63
    return numbers if numbered else list(range(1, len(stems) + 1))


def _to_annotation(image: LabeledImage, labels: Mapping[str, int], masks: bool) -> ImageAnnotation:
    """Return the valid objects of an image as arrays; labels: the label of each class name."""
    objects = [instance for instance in image.objects if instance.invalid_reason is None]
    for instance in objects:
        if instance.name not in labels:
            expected, hint = f"one of {len(labels)} classes", did_you_mean(instance.name, labels)
            raise UserError(
                f'{image.label_file}: {instance.location}: expected {expected}, found "{instance.name}"{hint}'
            )
    boxes = np.asarray([instance.box for instance in objects], np.float64).reshape(-1, 4)
    box_areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    areas = [
        box_area if instance.area is None else instance.area
        for instance, box_area in zip(objects, box_areas, strict=True)
    ]
    return ImageAnnotation(
        file=str(image.file),
        image_id=image.image_id,
        size=image.known_size,
        boxes=boxes,
        labels=np.asarray([labels[instance.name] for instance in objects], np.int64),
        difficult=np.asarray([instance.difficult for instance in objects], bool),
        crowd=np.asarray([instance.crowd for instance in objects], bool),
        areas=np.asarray(areas, np.float64),
        masks=PackedMasks.pack([instance.mask for instance in objects]) if masks else None,
        occluded=_marks([instance.occluded for instance in objects]),
        truncated=_marks([instance.truncated for instance in objects]),
    )


def _marks(flags: Sequence[bool]) -> np.ndarray | None:
    """Return the marks (G,) of the objects of an image; None where none has one."""
    return np.asarray(flags, bool) if any(flags) else None


def invalid_box_reason(corners: Sequence[float]) -> str | None:
    """Return why ``x1 y1 x2 y2``, in the file's own numbers, is no box; None if it is one."""
    x1, y1, x2, y2 = corners
    if not all(map(math.isfinite, corners)):
        return f"a box that is not finite: {_join_numbers(corners)}"
    if x2 <= x1 or y2 <= y1:
        return f"a box without extent: {_join_numbers(corners)}"
    return None


def outside_reason(box: Sequence[float], size: Size | None) -> str | None:
    """Return why a continuous ``x1 y1 x2 y2`` lies outside an image of ``size`` (h, w); None if they overlap.

    None also where the size is not known.
    """
    if size is None:
        return None
    x1, y1, x2, y2 = box
    height, width = size
    if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
        return f"a box outside its {width} x {height} image: {_join_numbers(box)}"
    return None


def _join_numbers(numbers: Sequence[float]) -> str:
    """Return the numbers as text, separated by blanks."""
    return " ".join(f"{x:g}" for x in numbers)
