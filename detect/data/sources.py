"""Loads data sets from one or several sources, and concatenates, splits and selects them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from detect.data.annotations import Annotations, ImageAnnotation
from detect.data.formats.class_folders import read_class_folders
from detect.data.formats.read_folder import open_folder
from detect.data.formats.records import to_annotations
from detect.data.formats.report import Report, strict_report
from detect.data.formats.sizes import ImageSizes
from detect.data.formats.voc_masks import only_segmented
from detect.errors import UserError, did_you_mean
from detect.system.randomness import hash_key

DataFormat = Literal["voc", "coco", "yolo", "csv", "labelme", "cvat", "label-studio", "folders"]
MAX_GROUP = 10  # near-duplicates: a larger group may be a series
_FORMATS_WITH_CLASS_ORDER = ("coco", "yolo", "cvat")  # formats that list their classes themselves


@dataclass(frozen=True)
class Source:
    """Where the images and boxes of one split are.

    root: the data set's folder; selection: the name of a split (VOC, YOLO), the file of all annotations, absolute or in
    root, with or without its suffix (COCO, CSV, CVAT, Label Studio), or the folder of class folders in root (folders;
    "." for root itself); images: the folder of the images that such a file names, absolute or in root. None: ``images``
    in root, else root, else one named for the annotation file in either, else the folder of the annotation file.
    """

    root: Path
    selection: str
    images: Path | None = None


def load_sources(
    format: DataFormat,  # noqa: A002 - the name of the setting
    sources: Sequence[Source],
    classes: Sequence[str] | None,
    report: Report | None = None,
    encoding: str | None = None,
    masks: bool = False,
) -> Annotations:
    """Return all sources as one data set. Raises UserError.

    classes None: all names in the sources, in the format's own order for COCO, YOLO, CVAT, else sorted; report: where
    faults go, None to stop at those that would lose labels and say nothing of the others; encoding: of texts (CSV,
    YOLO) without a byte order mark, None for UTF-8; masks: whether to read the objects' masks (COCO, VOC, YOLO,
    LabelMe). Of VOC then only the images that have a file in SegmentationObject are taken, which the report counts;
    ``require_masks`` refuses objects without a mask.
    """
    report = strict_report() if report is None else report
    try:
        concatenated = concat([_read_source(format, source, classes, report, encoding, masks) for source in sources])
    except OSError as error:  # for example a name that is too long, or a file without read permission
        raise UserError(f"{error.filename}: expected a readable file, found: {error.strerror}") from error
    if format not in _FORMATS_WITH_CLASS_ORDER and classes is None:
        remapped = remap_classes(concatenated, sorted(concatenated.classes))
        return replace(remapped, category_ids=np.arange(1, len(remapped.classes) + 1))
    return concatenated


def _read_source(
    format: DataFormat,  # noqa: A002 - the name of the setting
    source: Source,
    classes: Sequence[str] | None,
    report: Report,
    encoding: str | None,
    masks: bool,
) -> Annotations:
    """Return the images of one source."""
    if format == "folders":
        return read_class_folders(source.root / source.selection, classes, report)
    reader = open_folder(format, source.root, source.images, report, ImageSizes(), encoding, masks)
    labeled = reader.read_split(source.selection)
    if masks and format == "voc":
        labeled = only_segmented(labeled, source.root, report)
    return to_annotations(labeled, classes, masks)


def require_masks(annotations: Annotations) -> None:
    """Raise UserError, which counts them, if there are objects without a mask; as when no masks were read."""
    total = len(annotations.boxes)
    lengths = np.zeros(total, np.int64) if annotations.masks is None else annotations.masks.lengths
    missing = np.flatnonzero(lengths == 0)
    if len(missing):
        index = int(np.searchsorted(annotations.offsets, missing[0], side="right")) - 1
        file, number = annotations.file(index), int(missing[0] - annotations.offsets[index]) + 1
        name = annotations.classes[int(annotations.labels[missing[0]]) - 1]
        actual = f"found none for {len(missing)} of {total} objects, the first number {number} ({name}) of this image"
        raise UserError(f"{file}: expected a mask of each object, {actual}")


def concat(parts: Sequence[Annotations]) -> Annotations:
    """Return all images of all parts, in order.

    The classes are the union, in the order of their first occurrence. Category ids stay as they are unless two clash,
    then they become 1..K; the same is true of image ids. Raises UserError for an image that occurs in two parts.
    """
    category_ids: dict[str, int] = {}
    for part in parts:
        for name, category_id in zip(part.classes, part.category_ids.tolist(), strict=True):
            category_ids.setdefault(name, category_id)
    classes = list(category_ids)
    ids = list(category_ids.values()) if len(set(category_ids.values())) == len(classes) else None
    images = [image for part in parts for image in _remap_labels(part, classes)]
    _refuse_duplicates(images)
    if len({image.image_id for image in images}) < len(images):
        images = [replace(image, image_id=i) for i, image in enumerate(images, start=1)]
    return Annotations.from_images(images, classes, ids, [box for part in parts for box in part.dropped])


def remap_classes(annotations: Annotations, classes: Sequence[str]) -> Annotations:
    """Return the same images with the labels of another class list.

    Raises UserError for an object whose class is not in that list.
    """
    if annotations.classes == tuple(classes):
        return annotations
    category_ids = dict(zip(annotations.classes, annotations.category_ids.tolist(), strict=True))
    next_id = max(category_ids.values(), default=0) + 1
    ids = [category_ids.get(name, next_id + i) for i, name in enumerate(classes)]
    return Annotations.from_images(_remap_labels(annotations, classes), classes, ids, annotations.dropped)


def without_difficult(annotations: Annotations) -> Annotations:
    """Return the same images without the objects marked difficult, for training (Fast R-CNN, section 5.2)."""
    images = [_keep_objects(image, ~image.difficult) for image in _images(annotations)]
    return Annotations.from_images(images, annotations.classes, annotations.category_ids.tolist(), annotations.dropped)


def hash_split(
    annotations: Annotations, fraction: float, groups: Sequence[Sequence[int]] = ()
) -> tuple[Annotations, Annotations]:
    """Return (train, val): val gets about ``fraction`` of the images, each by a hash of its file name without suffix.

    An image stays on its side when others are added or the folder moves. groups: indices of images that go to the same
    side, each image in one group at most. The side is that of the name that comes first (a2 before a10): images that
    are added to a folder mostly come after the others, and then the group stays on its side too.

    From two images on both sides have one, and train has one with objects if there is any, unless ``fraction`` is 0 or
    1: where the hash leaves a side without, the image or group nearest to it moves. If all images are one group, they
    are split like images of no group.
    """
    units = _split_units(len(annotations), groups)
    names = [min((Path(annotations.file(i)).stem for i in unit), key=natural_sort_key) for unit in units]
    positions = [hash_key("split", name) / 2**63 for name in names]
    in_val = [position < fraction for position in positions]
    if 0 < fraction < 1 and len(units) > 1:
        files = [min(annotations.file(i) for i in unit) for unit in units]
        order = sorted(range(len(units)), key=lambda unit: (positions[unit], files[unit]))
        _fill_sides(in_val, [_has_objects(annotations, unit) for unit in units], list(map(len, units)), fraction, order)
    val = {index for unit, is_val in zip(units, in_val, strict=True) if is_val for index in unit}
    train = [index for index in range(len(annotations)) if index not in val]
    return select(annotations, train), select(annotations, sorted(val))


def _split_units(count: int, groups: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """Return the images that go to a side together: the groups, and each of the other images alone."""
    grouped = {index for group in groups for index in group}
    units = [*groups, *([index] for index in range(count) if index not in grouped)]
    return units if len(units) > 1 else [[index] for index in range(count)]


def _fill_sides(
    in_val: list[bool], has_objects: Sequence[bool], counts: Sequence[int], fraction: float, order: Sequence[int]
) -> None:
    """Change ``in_val`` in place so that both sides have a unit, and train one with objects if there is any.

    in_val, has_objects, counts (images): of each of at least two units; order: the units by their hash. The unit moves
    that brings the share of val nearest to ``fraction``, the first in ``order`` of several.
    """
    useful = has_objects if any(has_objects) else [True] * len(counts)
    val_count = sum(count for count, is_val in zip(counts, in_val, strict=True) if is_val)
    total = sum(counts)
    if not any(useful[unit] and not in_val[unit] for unit in order):
        candidates = [unit for unit in order if useful[unit]]
        moved = min(candidates, key=lambda unit: abs(val_count - counts[unit] - fraction * total))
        in_val[moved] = False
    if not any(in_val):
        only_useful = [unit for unit in order if useful[unit]]
        candidates = [unit for unit in order if only_useful != [unit]]
        moved = min(candidates, key=lambda unit: abs(counts[unit] - fraction * total))
        in_val[moved] = True


def _has_objects(annotations: Annotations, unit: Sequence[int]) -> bool:
    """Return True if any of these images has an object."""
    return any(annotations.offsets[index] < annotations.offsets[index + 1] for index in unit)


def drop_large_groups(groups: Iterable[Sequence[int]], num_images: int) -> list[Sequence[int]]:
    """Return the groups without those of more than MAX_GROUP images and more than a tenth of all.

    So many near-duplicates come from a fixed camera or a scanner. On one side they would leave few images for the
    other.
    """
    return [group for group in groups if len(group) <= max(MAX_GROUP, num_images / 10)]


def natural_sort_key(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts runs of digits as numbers, so that a2 comes before a10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def select(annotations: Annotations, indices: Iterable[int]) -> Annotations:
    """Return some of the images, in the order of ``indices``; the report of dropped boxes stays complete."""
    images = [annotations[int(index)] for index in indices]
    return Annotations.from_images(images, annotations.classes, annotations.category_ids.tolist(), annotations.dropped)


def _images(annotations: Annotations) -> list[ImageAnnotation]:
    """Return all images of a data set."""
    return [annotations[index] for index in range(len(annotations))]


def _keep_objects(image: ImageAnnotation, keep: np.ndarray) -> ImageAnnotation:
    """Return the image with only some of its G objects; keep (G,) bool."""
    return replace(
        image,
        boxes=image.boxes[keep],
        labels=image.labels[keep],
        difficult=image.difficult[keep],
        crowd=image.crowd[keep],
        areas=image.areas[keep],
        masks=None if image.masks is None else image.masks.select(keep),
        occluded=None if image.occluded is None else image.occluded[keep],
        truncated=None if image.truncated is None else image.truncated[keep],
    )


def _remap_labels(annotations: Annotations, classes: Sequence[str]) -> list[ImageAnnotation]:
    """Return all images with the labels of another class list. Raises UserError for an object of another class."""
    if annotations.classes == tuple(classes):
        return _images(annotations)
    labels = {name: label for label, name in enumerate(classes, start=1)}
    table = np.asarray([0, *(labels.get(name, 0) for name in annotations.classes)], np.int64)
    images = [replace(image, labels=table[image.labels]) for image in _images(annotations)]
    for index, image in enumerate(images):
        if (image.labels == 0).any():
            name = annotations.classes[annotations[index].labels[image.labels == 0][0] - 1]
            expected = f"objects of {len(labels)} classes"
            raise UserError(f'{image.file}: expected {expected}, found "{name}"{did_you_mean(name, classes)}')
    return images


def _refuse_duplicates(images: Sequence[ImageAnnotation]) -> None:
    """Raise UserError if an image occurs twice."""
    files: set[str] = set()
    for image in images:
        if image.file in files:
            raise UserError(f"{image.file}: expected each image in one source, found it in two")
        files.add(image.file)
