"""Reads a complete data set, with all its splits, as its files state it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from detect.data.annotations import DroppedBox
from detect.data.findings import DatasetFinding
from detect.data.formats.detect_format import BoxFormat, WritableFormat
from detect.data.formats.numbers import format_plus_one
from detect.data.formats.read_folder import read_folder
from detect.data.formats.records import LabeledImage, LabeledObject, LabeledSet, same_objects
from detect.data.formats.report import strict_report
from detect.data.formats.sizes import ImageSizes
from detect.errors import UserError


@dataclass(frozen=True)
class ConvertibleDataset:
    """A data set with the objects that can be converted.

    splits: split name to its images in order, with their valid objects only; categories: class name to id, in the
    order of the labels; dropped: the objects that cannot be converted; findings: what else the reader noted.
    """

    splits: dict[str, tuple[LabeledImage, ...]]
    categories: dict[str, int]
    dropped: tuple[DroppedBox, ...]
    findings: tuple[DatasetFinding, ...] = ()

    def images(self) -> dict[Path, LabeledImage]:
        """Return each image once, by its file. An image in several splits is taken from the first of them."""
        images: dict[Path, LabeledImage] = {}
        for image in self._all_images():
            images.setdefault(image.file, image)
        return images

    def objects(self) -> Iterator[LabeledObject]:
        """Return the objects of all images, with each image counted once."""
        return (instance for image in self.images().values() for instance in image.objects)

    def _all_images(self) -> Iterator[LabeledImage]:
        return (image for images in self.splits.values() for image in images)


def read_convertible_dataset(
    root: Path,
    format: BoxFormat,  # noqa: A002 - the name of the setting
    images: Path | None,
    encoding: str | None = None,
) -> ConvertibleDataset:
    """Return all splits of a folder, train first.

    images: the folder of the images where one file names them; None searches for it. Raises UserError if there is no
    split, or if an image in two splits has different objects in each.
    """
    folder = read_folder(root, format, images, strict_report(), ImageSizes(trust_claims=False), encoding, masks=True)
    labeled_sets = dict(folder.splits)
    dropped = [
        DroppedBox(str(image.label_file), f"{instance.location} ({instance.name})", instance.invalid_reason)
        for labeled_set in labeled_sets.values()
        for image in labeled_set.images
        for instance in image.objects
        if instance.invalid_reason is not None
    ]
    splits = {name: tuple(map(_valid_objects, labeled_set.images)) for name, labeled_set in labeled_sets.items()}
    categories = _declared_categories(labeled_sets) or _categories_from_objects(splits)
    dataset = ConvertibleDataset(splits, categories, tuple(dict.fromkeys(dropped)), folder.findings)
    _require_consistent_splits(dataset)
    return dataset


def drop_unrepresentable(dataset: ConvertibleDataset, target: WritableFormat) -> ConvertibleDataset:
    """Return the data set with the objects that ``target`` cannot hold moved to ``dropped``.

    VOC's corners are pixels, both inclusive, and VOC's reader takes a box from a pixel to itself for no box. A box of
    one pixel or less therefore has no VOC corners.
    """
    if target != "voc":
        return dataset
    dropped = [
        DroppedBox(
            str(image.label_file),
            f"{instance.location} ({instance.name})",
            f"a box that VOC corners cannot represent: {_format_box(instance)}",
        )
        for image in dataset.images().values()
        for instance in image.objects
        if not _is_larger_than_one_pixel(instance)
    ]
    splits = {
        name: tuple(replace(image, objects=tuple(filter(_is_larger_than_one_pixel, image.objects))) for image in images)
        for name, images in dataset.splits.items()
    }
    return replace(dataset, splits=splits, dropped=(*dataset.dropped, *dropped))


def _is_larger_than_one_pixel(instance: LabeledObject) -> bool:
    x1, y1, x2, y2 = instance.box
    return float(format_plus_one(x1)) < x2 and float(format_plus_one(y1)) < y2


def _format_box(instance: LabeledObject) -> str:
    return " ".join(f"{coordinate:g}" for coordinate in instance.box)


def _valid_objects(image: LabeledImage) -> LabeledImage:
    """Return the image with its valid objects only."""
    return replace(image, objects=tuple(instance for instance in image.objects if instance.invalid_reason is None))


def _declared_categories(labeled_sets: dict[str, LabeledSet]) -> dict[str, int]:
    """Return the categories that the format lists, ordered by id; empty for VOC and CSV.

    Where the splits number them differently, the ids are 1, 2, ... in the order in which the names first occur, which
    is the order that training uses: the name says what an object is.
    """
    pairs = [pair for labeled_set in labeled_sets.values() for pair in (labeled_set.categories or {}).items()]
    categories = dict(pairs)
    if not len(categories) == len(set(categories.values())) == len(set(pairs)):
        return {name: category_id for category_id, name in enumerate(categories, start=1)}
    return dict(sorted(categories.items(), key=lambda pair: pair[1]))


def _categories_from_objects(splits: dict[str, tuple[LabeledImage, ...]]) -> dict[str, int]:
    """Return ids from 1 for the sorted class names of the valid objects, which is the order that training uses."""
    names = {instance.name for images in splits.values() for image in images for instance in image.objects}
    return {name: category_id for category_id, name in enumerate(sorted(names), start=1)}


def _require_consistent_splits(dataset: ConvertibleDataset) -> None:
    """Raise UserError for an image whose objects differ between two splits."""
    first_by_file = dataset.images()
    for name, images in dataset.splits.items():
        for image in images:
            first = first_by_file[image.file]
            if not same_objects(image, first):
                raise UserError(
                    f"{image.label_file}: {image.name}: expected the same objects in {name} as in {first.label_file}"
                )
