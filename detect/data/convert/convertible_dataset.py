"""A whole data set, all its lists, as its files give it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from detect.data.annotations import DroppedBox
from detect.data.formats.coco import coco_images
from detect.data.formats.csv_files import csv_images
from detect.data.formats.detect_format import BoxFormat, lists_of
from detect.data.formats.numbers import plus_one
from detect.data.formats.records import LabelledImage, LabelledObject, LabelledSet
from detect.data.formats.voc import voc_images
from detect.data.formats.yolo import yolo_images
from detect.data.sources import annotation_file, image_folders
from detect.errors import UserError
from detect.system.files import existing_folder


@dataclass(frozen=True)
class DataSet:
    """lists: name to its images in order, their usable objects alone; categories: class name to id, in the order of
    labels; dropped: the objects that could not be used."""

    lists: dict[str, tuple[LabelledImage, ...]]
    categories: dict[str, int]
    dropped: tuple[DroppedBox, ...]

    def images(self) -> dict[Path, LabelledImage]:
        """Each image once, by its file; of an image in several lists the first."""
        found: dict[Path, LabelledImage] = {}
        for image in self._all():
            found.setdefault(image.image, image)
        return found

    def objects(self) -> Iterator[LabelledObject]:
        """The objects of all images, each image once."""
        return (item for image in self.images().values() for item in image.objects)

    def _all(self) -> Iterator[LabelledImage]:
        return (image for images in self.lists.values() for image in images)


def read_data_set(root: Path, format: BoxFormat, images: Path | None) -> DataSet:  # noqa: A002 - the config's own word
    """Every list of a folder, train first; images: COCO's and CSV's folder of images, None to look for it.

    Raises UserError where there is no list, where two lists know different classes by one id, and where an image that
    is in two lists has other objects in each.
    """
    existing_folder(root, f"a data set in {format}")
    names = sorted(lists_of(format, root), key=lambda name: (name != "train", name))
    if not names:
        raise UserError(f"{root}: expected images labelled in {format}, found none")
    read = {name: _read(root, format, name, images) for name in names}
    dropped = [
        DroppedBox(str(image.labels), f"{item.where} ({item.name})", item.flaw)
        for labelled in read.values()
        for image in labelled.images
        for item in image.objects
        if item.flaw is not None
    ]
    lists = {name: tuple(map(_usable, labelled.images)) for name, labelled in read.items()}
    categories = _own_categories(root, read) or _found_categories(lists)
    found = DataSet(lists, categories, tuple(dict.fromkeys(dropped)))
    _refuse_contradictions(found)
    return found


def sayable(data: DataSet, target: BoxFormat) -> DataSet:
    """Without the objects that the target cannot hold, which go to ``dropped``.

    VOC's corners are pixels, both inclusive, and a box from a pixel to itself counts as none: of one pixel or less.
    """
    if target != "voc":
        return data
    dropped = [
        DroppedBox(
            str(image.labels), f"{item.where} ({item.name})", f"a box that VOC has no corners for: {_listed(item)}"
        )
        for image in data.images().values()
        for item in image.objects
        if not _wider_than_a_pixel(item)
    ]
    lists = {
        name: tuple(replace(image, objects=tuple(filter(_wider_than_a_pixel, image.objects))) for image in images)
        for name, images in data.lists.items()
    }
    return replace(data, lists=lists, dropped=(*data.dropped, *dropped))


def _wider_than_a_pixel(item: LabelledObject) -> bool:
    x1, y1, x2, y2 = item.box
    return float(plus_one(x1)) < x2 and float(plus_one(y1)) < y2


def _listed(item: LabelledObject) -> str:
    return " ".join(f"{number:g}" for number in item.box)


def _read(root: Path, format: BoxFormat, name: str, images: Path | None) -> LabelledSet:  # noqa: A002
    if format == "voc":
        return voc_images(root, name)
    if format == "yolo":
        return yolo_images(root, name)
    if format == "coco":
        file = annotation_file(root, name, ".json")
        return coco_images(file, image_folders(root, file, images))
    file = annotation_file(root, name, ".csv")
    return csv_images(file, image_folders(root, file, images))


def _usable(image: LabelledImage) -> LabelledImage:
    return replace(image, objects=tuple(item for item in image.objects if item.flaw is None))


def _own_categories(root: Path, read: dict[str, LabelledSet]) -> dict[str, int]:
    """Those that the format lists, by their ids; none for VOC and CSV."""
    own: dict[str, int] = {}
    for name, labelled in read.items():
        for category, number in (labelled.categories or {}).items():
            if own.setdefault(category, number) != number or list(own.values()).count(number) > 1:
                raise UserError(f'{root}: {name}: expected the ids of the other lists, found {number} for "{category}"')
    return dict(sorted(own.items(), key=lambda pair: pair[1]))


def _found_categories(lists: dict[str, tuple[LabelledImage, ...]]) -> dict[str, int]:
    """The names of the usable objects, sorted, as a training has them."""
    names = {item.name for images in lists.values() for image in images for item in image.objects}
    return {name: number for number, name in enumerate(sorted(names), start=1)}


def _refuse_contradictions(found: DataSet) -> None:
    first = found.images()
    for name, images in found.lists.items():
        for image in images:
            other = first[image.image]
            if _without_places(image) != _without_places(other):
                raise UserError(f"{image.labels}: {image.name}: expected in {name} the objects of {other.labels}")


def _without_places(image: LabelledImage) -> list[LabelledObject]:
    return [item._replace(where="") for item in image.objects]
