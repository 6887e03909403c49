"""Several lists as one data set, and other ways to make one data set from another."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from detect.data.annotations import Annotations, ImageAnnotation, pack
from detect.data.formats.class_folders import read_class_folders
from detect.data.formats.coco import read_coco
from detect.data.formats.csv_files import read_csv
from detect.data.formats.voc import read_voc
from detect.data.formats.yolo import read_yolo
from detect.errors import UserError, nearest
from detect.system.randomness import key

DataFormat = Literal["voc", "coco", "yolo", "csv", "folders"]
LARGE_GROUP = 10  # images that are alike: more may be a series
_WITH_ORDER = ("coco", "yolo")  # formats that list their classes themselves


@dataclass(frozen=True)
class Source:
    """Where images and boxes are.

    root: the data set's folder; selection: a list's name (VOC), a split's (YOLO), the annotation file, absolute or in
    root, with or without its suffix (COCO, CSV), or the folder of class folders in root (folders; "." for root itself);
    images: COCO's and CSV's folder of images, absolute or in root; None: root's ``images``, else root, else one named
    for the annotation file in either, else beside it.
    """

    root: Path
    selection: str
    images: Path | None = None


def load_sources(
    format: DataFormat,  # noqa: A002 - the config's own word
    sources: Sequence[Source],
    classes: Sequence[str] | None,
) -> Annotations:
    """All sources joined. Raises UserError.

    classes None: all the names in the sources, in the format's own order for COCO and YOLO, else sorted.
    """
    try:
        joined = join([_READERS[format](source, classes) for source in sources])
    except OSError as error:  # a name too long, a file without the right to read it
        raise UserError(f"{error.filename}: expected to read it, found: {error.strerror}") from error
    if format not in _WITH_ORDER and classes is None:
        named = relabel(joined, sorted(joined.classes))
        return replace(named, category_ids=np.arange(1, len(named.classes) + 1))
    return joined


def annotation_file(root: Path, selection: str, suffix: str) -> Path:
    """The file of a name with or without its suffix, absolute or in root."""
    file, whole = root / selection, root / f"{selection}{suffix}"
    return whole if not file.is_file() and whole.is_file() else file


def image_folders(root: Path, file: Path, images: Path | None) -> list[Path]:
    """Where the images that ``file`` names may be, the likeliest first: CVAT's in images/train, COCO's in train2017."""
    if images is not None:
        return [root / images]
    stem = file.stem.removeprefix("instances_")
    within = [root / "images", root, root / "images" / stem, root / stem]
    candidates = [*within, file.parent, file.parent / "images"]
    return [folder for folder in candidates if folder.is_dir()] or candidates


def _read_voc_source(source: Source, classes: Sequence[str] | None) -> Annotations:
    return read_voc(source.root, source.selection, classes)


def _read_coco_source(source: Source, classes: Sequence[str] | None) -> Annotations:
    file = annotation_file(source.root, source.selection, ".json")
    return read_coco(file, image_folders(source.root, file, source.images), classes)


def _read_yolo_source(source: Source, classes: Sequence[str] | None) -> Annotations:
    return read_yolo(source.root, source.selection, classes)


def _read_csv_source(source: Source, classes: Sequence[str] | None) -> Annotations:
    file = annotation_file(source.root, source.selection, ".csv")
    return read_csv(file, image_folders(source.root, file, source.images), classes)


def _read_folders_source(source: Source, classes: Sequence[str] | None) -> Annotations:
    return read_class_folders(source.root / source.selection, classes)


_READERS: dict[DataFormat, Callable[[Source, Sequence[str] | None], Annotations]] = {
    "voc": _read_voc_source,
    "coco": _read_coco_source,
    "yolo": _read_yolo_source,
    "csv": _read_csv_source,
    "folders": _read_folders_source,
}


def join(parts: Sequence[Annotations]) -> Annotations:
    """All images of all parts, in order.

    Classes are the union in the order of first sight; their category ids are kept unless two clash, then they are
    1..K; the same goes for image ids. Raises UserError for an image that two parts hold.
    """
    category_ids: dict[str, int] = {}
    for part in parts:
        for name, number in zip(part.classes, part.category_ids.tolist(), strict=True):
            category_ids.setdefault(name, number)
    classes = list(category_ids)
    numbers = list(category_ids.values()) if len(set(category_ids.values())) == len(classes) else None
    images = [image for part in parts for image in _relabelled(part, classes)]
    _refuse_repeated(images)
    if len({image.image_id for image in images}) < len(images):
        images = [replace(image, image_id=place) for place, image in enumerate(images, start=1)]
    return pack(images, classes, numbers, [box for part in parts for box in part.dropped])


def relabel(annotations: Annotations, classes: Sequence[str]) -> Annotations:
    """The same images with the labels of another class list.

    Raises UserError for an object of a class that it lacks.
    """
    known = dict(zip(annotations.classes, annotations.category_ids.tolist(), strict=True))
    unused = max(known.values(), default=0) + 1
    numbers = [known.get(name, unused + place) for place, name in enumerate(classes)]
    return pack(_relabelled(annotations, classes), classes, numbers, annotations.dropped)


def without_difficult(annotations: Annotations) -> Annotations:
    """The same images without the objects marked difficult, for training (Fast R-CNN, section 5.2)."""
    images = [_kept(image, ~image.difficult) for image in _images(annotations)]
    return pack(images, annotations.classes, annotations.category_ids.tolist(), annotations.dropped)


def hash_split(
    annotations: Annotations, fraction: float, alike: Sequence[Sequence[int]] = ()
) -> tuple[Annotations, Annotations]:
    """(train, val): val gets about ``fraction`` of the images, each by a hash of its file name without extension.

    An image stays on its side when others are added or the folder moves. alike: groups of images (their places, each in
    one group at most) that go to one side, that of the name that comes first (a2 before a10): images that are added
    to a folder mostly come after, and then the group stays too.
    """
    names = [Path(annotations.file(index)).stem for index in range(len(annotations))]
    deciding = list(names)
    for group in alike:
        first = min((names[index] for index in group), key=_in_order)
        for index in group:
            deciding[index] = first
    drawn = [key("split", name) / 2**63 for name in deciding]
    train = [index for index, draw in enumerate(drawn) if draw >= fraction]
    val = [index for index, draw in enumerate(drawn) if draw < fraction]
    return select(annotations, train), select(annotations, val)


def without_series(groups: Iterable[Sequence[int]], images: int) -> list[Sequence[int]]:
    """The groups less those of more than LARGE_GROUP images and a tenth of all.

    So many are the work of a fixed camera or a scanner, and on one side they would leave little for the other.
    """
    return [group for group in groups if len(group) <= max(LARGE_GROUP, images / 10)]


def _in_order(name: str) -> list[tuple[int, str]]:
    """Runs of digits as numbers, so that a2 is before a10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def select(annotations: Annotations, indices: Iterable[int]) -> Annotations:
    """Some of the images, in the order given; the report of dropped boxes stays whole."""
    images = [annotations[int(index)] for index in indices]
    return pack(images, annotations.classes, annotations.category_ids.tolist(), annotations.dropped)


def _images(annotations: Annotations) -> list[ImageAnnotation]:
    return [annotations[index] for index in range(len(annotations))]


def _kept(image: ImageAnnotation, chosen: np.ndarray) -> ImageAnnotation:
    return replace(
        image,
        boxes=image.boxes[chosen],
        labels=image.labels[chosen],
        difficult=image.difficult[chosen],
        crowd=image.crowd[chosen],
        areas=image.areas[chosen],
    )


def _relabelled(annotations: Annotations, classes: Sequence[str]) -> list[ImageAnnotation]:
    labels = {name: label for label, name in enumerate(classes, start=1)}
    table = np.asarray([0, *(labels.get(name, 0) for name in annotations.classes)], np.int64)
    images = [replace(image, labels=table[image.labels]) for image in _images(annotations)]
    for index, image in enumerate(images):
        if (image.labels == 0).any():
            name = annotations.classes[annotations[index].labels[image.labels == 0][0] - 1]
            expected = f"objects of {len(labels)} classes"
            raise UserError(f'{image.file}: expected {expected}, found "{name}"{nearest(name, classes)}')
    return images


def _refuse_repeated(images: Sequence[ImageAnnotation]) -> None:
    seen: set[str] = set()
    for image in images:
        if image.file in seen:
            raise UserError(f"{image.file}: expected each image in one source, found it in two")
        seen.add(image.file)
