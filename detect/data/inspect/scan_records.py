"""The raw content of a labelled folder, exactly as its files state it, valid or not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from detect.data.formats.detect_format import BoxFormat
from detect.data.inspect.findings import DatasetFinding
from detect.types import Size

FourFloats = tuple[float, float, float, float]


class RawObject(NamedTuple):
    """An object as its file states it.

    location: the object's position in the file ("object 3", "line 3", "annotation 12"); name: its class name as it is
    written; raw_numbers: the file's four numbers, in the format's own order and units; box: continuous x1 y1 x2 y2 in
    pixels, according to the format.
    """

    location: str
    name: str
    raw_numbers: FourFloats
    box: FourFloats
    difficult: bool = False
    crowd: bool = False


@dataclass(frozen=True)
class RawImage:
    """An image and its objects as the annotation file states them.

    file: absolute path of the image, which may not exist; label_file: the file with its objects; declared_size: the
    (h, w) that the annotation states, None if it states none; splits: the splits that contain the image, among train,
    val and test.
    """

    file: Path
    label_file: Path
    declared_size: Size | None
    objects: tuple[RawObject, ...]
    splits: frozenset[str] = frozenset()


@dataclass(frozen=True)
class FolderScan:
    """The content of a labelled folder, with the findings that were made while its files were read.

    classes: the names that the format lists, in its order; None if it lists none.
    """

    format: BoxFormat
    root: Path
    images: tuple[RawImage, ...]
    classes: tuple[str, ...] | None
    findings: tuple[DatasetFinding, ...]

    @property
    def distinct_images(self) -> list[RawImage]:
        """Return each image once, from the first file that names it. COCO's and CSV's trainval repeat it."""
        first_by_file = {image.file: image for image in reversed(self.images)}
        return [image for image in self.images if first_by_file[image.file] is image]

    @property
    def num_objects(self) -> int:
        """Return the number of objects in the distinct images."""
        return sum(len(image.objects) for image in self.distinct_images)
