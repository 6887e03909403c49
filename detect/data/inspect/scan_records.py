"""What a labelled folder says, kept as it is written, usable or not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from detect.data.formats.detect_format import BoxFormat
from detect.data.inspect.findings import Finding
from detect.types import Size

Four = tuple[float, float, float, float]


class SeenObject(NamedTuple):
    """An object.

    where: its place in the file ("object 3", "line 3", "annotation 12"); name: its class as it is written; written: the
    file's four numbers, in the format's own order and units; box: continuous x1 y1 x2 y2 in pixels, as the format means
    them.
    """

    where: str
    name: str
    written: Four
    box: Four
    difficult: bool = False
    crowd: bool = False


@dataclass(frozen=True)
class SeenImage:
    """An image and its objects.

    image: absolute, there or not; labels: the file that the objects are in; told: the (h, w) that it tells, None where
    it tells none; splits: the lists that hold it, of train, val and test.
    """

    image: Path
    labels: Path
    told: Size | None
    objects: tuple[SeenObject, ...]
    splits: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Survey:
    """All that was read, and the findings made while reading.

    classes: the names that the format lists, in its order; None where it lists none.
    """

    format: BoxFormat
    root: Path
    images: tuple[SeenImage, ...]
    classes: tuple[str, ...] | None
    findings: tuple[Finding, ...]

    @property
    def distinct_images(self) -> list[SeenImage]:
        """Each image once, as the first file that names it has it: COCO's and CSV's trainval repeats train and val."""
        first = {image.image: image for image in reversed(self.images)}
        return [image for image in self.images if first[image.image] is image]

    @property
    def objects(self) -> int:
        """How many objects the distinct images have."""
        return sum(len(image.objects) for image in self.distinct_images)
