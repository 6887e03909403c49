"""Labels as annotation tools export them: one file for many images, with boxes, polygons, masks and other shapes.

The readers of CVAT's and Label Studio's files return these records, and ``tool_folder.py`` makes data sets of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Protocol

from detect.data.formats.image_index import listed_path
from detect.data.formats.records import Corners
from detect.data.formats.report import Report
from detect.data.masks import Mask
from detect.errors import UserError
from detect.types import Size

RECTANGLE = "rectangle"

DrawMask = Callable[[Size], Mask]  # what a shape covers in an image of (h, w); raises ValueError
ReportShape = Callable[[str, UserError], None]  # called with the location and the fault of a shape that is not read


@dataclass(frozen=True)
class ToolShape:
    """A shape, or several that are parts of one object.

    location: where it is in the file; name: its label; kind: the tool's word for it; box: x1 y1 x2 y2 around it in
    pixels, None for points and lines, which have none; turned: True for a rectangle that is not upright; group: shapes
    of one group and label are parts of one object, empty for a shape without others; parts: what draws each part of its
    mask, none where it has none; num_labels: that the shape has in the file.
    """

    location: str
    name: str
    kind: str
    box: Corners | None
    turned: bool = False
    difficult: bool = False
    crowd: bool = False
    truncated: bool = False
    occluded: bool = False
    group: str = ""
    parts: tuple[DrawMask, ...] = ()
    num_labels: int = 1


class ToolImage(Protocol):
    """An image of an exported file and what was drawn in it."""

    @property
    def location(self) -> str:
        """Where it is in the file."""

    @property
    def path(self) -> PurePosixPath:
        """The path that the file names, without its root."""

    @property
    def declared_size(self) -> Size | None:
        """The upright (h, w) that the file states, None where it states none."""

    @property
    def subset(self) -> str:
        """The split that the file states, empty where it states none."""

    @property
    def num_unread(self) -> int:
        """The number of labels of the whole image, and of attributes and answers of its shapes, that are not read."""

    def shapes(self, size: Size | None, report_shape: ReportShape) -> list[ToolShape]:
        """Return the shapes in an image of ``size`` (h, w), which may have to be known to scale them."""


@dataclass(frozen=True)
class ToolFile:
    """The content of an exported file.

    classes: the labels that it lists, in its order, None where it lists none; unlabeled: (location, path, why) of its
    images that nobody labelled, the path None where it is not known.
    """

    images: tuple[ToolImage, ...]
    classes: tuple[str, ...] | None
    unlabeled: tuple[tuple[str, PurePosixPath | None, str], ...] = ()


@dataclass(frozen=True)
class Tool:
    """An annotation tool whose files are read.

    title: its name; suffix: of its files; has_subsets: True if a file may state the splits of its images; list_files:
    returns those of a folder; read_file: returns the content of one, and raises UserError for a file that is another.
    """

    title: str
    suffix: str
    has_subsets: bool
    list_files: Callable[[Path], list[Path]]
    read_file: Callable[[Path, Report], ToolFile]


def join_parts(shapes: Iterable[ToolShape]) -> list[ToolShape]:
    """Return the shapes with those of one group and label joined into one, where the first of them was."""
    joined: dict[tuple[str, str], ToolShape] = {}
    for shape in shapes:
        key = (shape.name, shape.group or f"alone {shape.location}")
        joined[key] = _join(joined[key], shape) if key in joined else shape
    return list(joined.values())


def _join(first: ToolShape, second: ToolShape) -> ToolShape:
    """Return two parts of one object as one shape with the box around both."""
    if first.box is None or second.box is None:
        raise ValueError(f"{first.location}: expected parts with a box")
    x1, y1, x2, y2 = zip(first.box, second.box, strict=True)
    return replace(
        first,
        box=(min(x1), min(y1), max(x2), max(y2)),
        difficult=first.difficult or second.difficult,
        crowd=first.crowd or second.crowd,
        truncated=first.truncated or second.truncated,
        occluded=first.occluded or second.occluded,
        parts=(*first.parts, *second.parts),
    )


def relative_path(text: str) -> PurePosixPath:
    """Return the path of an image as a file names it, without what leads out of the folder of images."""
    parts = listed_path(text).parts
    return PurePosixPath(*(part for part in parts if part not in ("/", "//", "..") and not part.endswith(":")))


def outline_box(points: Iterable[tuple[float, float]]) -> Corners:
    """Return x1 y1 x2 y2 around points x, y, of which there is at least one."""
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)
