"""A labelled folder as its files state it, with all its splits: what inspection, statistics and conversion read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from detect.data.findings import DatasetFinding
from detect.data.formats.detect_format import BoxFormat
from detect.data.formats.records import LabeledImage, LabeledSet
from detect.data.formats.split_names import guess_split


class FolderReader(Protocol):
    """Reads a labelled folder of one format; what it meets on the way goes to the report that it was built with."""

    def split_names(self) -> list[str]:
        """Return the names of the splits, as ``data.train`` and ``data.val`` name them."""

    def read_split(self, split: str) -> LabeledSet:
        """Return the images of a split with all their objects, valid or not. Raises UserError."""

    def read_rest(self) -> tuple[LabeledImage, ...]:
        """Return the labelled images of no split that was read, and report files without their counterpart.

        A strict reader returns none.
        """


@dataclass(frozen=True)
class LabeledFolder:
    """All images of a labelled folder.

    splits: by name; unlisted: images with labels that are in no split; findings: what the reader reported.
    """

    format: BoxFormat
    root: Path
    splits: Mapping[str, LabeledSet]
    unlisted: tuple[LabeledImage, ...]
    findings: tuple[DatasetFinding, ...]

    @cached_property
    def images(self) -> list[LabeledImage]:
        """Every image once for each label file that describes it, in the order of the splits.

        Of one image, COCO's and CSV's train and trainval are two descriptions; VOC's and YOLO's are the same.
        """
        every = [*(image for part in self.splits.values() for image in part.images), *self.unlisted]
        first: dict[tuple[Path, Path], LabeledImage] = {}
        for image in every:
            first.setdefault((image.file, image.label_file), image)
        return list(first.values())

    @cached_property
    def distinct_images(self) -> list[LabeledImage]:
        """Every image once, as the first label file describes it."""
        first_by_file = {image.file: image for image in reversed(self.images)}
        return [image for image in self.images if first_by_file[image.file] is image]

    @cached_property
    def roles(self) -> Mapping[Path, frozenset[str]]:
        """For each image the splits that contain it, among train, val and test."""
        roles: dict[Path, set[str]] = {}
        for name, part in self.splits.items():
            role = guess_split(name)
            for image in part.images:
                roles.setdefault(image.file, set()).update([role] if role else [])
        return {file: frozenset(names) for file, names in roles.items()}

    @property
    def num_objects(self) -> int:
        """Return the number of objects in the distinct images."""
        return sum(len(image.objects) for image in self.distinct_images)

    @cached_property
    def listed_classes(self) -> tuple[str, ...]:
        """The classes that the format lists, in its order; none for VOC and CSV."""
        return tuple(dict.fromkeys(name for part in self.splits.values() for name in part.categories or ()))

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The classes that the format lists, followed by the other names that occur, sorted."""
        names = {instance.name for image in self.distinct_images for instance in image.objects}
        return (*self.listed_classes, *sorted(names.difference(self.listed_classes)))
