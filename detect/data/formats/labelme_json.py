"""Parses one JSON file of LabelMe: the shapes that were drawn in one image.

The keys are ``shapes``, ``imagePath``, ``imageHeight`` and ``imageWidth``; a shape has a ``label``, a ``shape_type``
and ``points`` in continuous pixels (github.com/wkentaro/labelme, labelme/label_file.py). The box of a shape is the one
around it. Shapes of one label and one ``group_id`` are parts of one object, as in LabelMe's own
examples/instance_segmentation/labelme2coco.py. X-AnyLabeling writes the same keys and ``difficult`` besides.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detect.data.formats.label_text import class_name
from detect.data.formats.records import Corners
from detect.errors import UserError, shorten
from detect.system.files import read_json_file
from detect.types import Size

_HEAD = 1 << 16  # bytes; LabelMe writes version, flags and shapes first
_SHAPES = re.compile(rb'"shapes"\s*:\s*\[')
_OUTLINES = frozenset({"polygon", "mask", "oriented_rectangle", "rotation"})
# Labels with which its converters mark regions to ignore and the background (wkentaro/labelme,
# examples/instance_segmentation/labels.txt and labelme2coco.py).
NO_OBJECTS = frozenset({"__ignore__", "_background_"})
_WITHOUT_BOX = frozenset({"point", "points", "line", "linestrip"})


@dataclass(frozen=True)
class Outline:
    """The outline of one shape: its points (x, y); png: the base64 text of a mask's pixels, from the first point on."""

    points: tuple[tuple[float, float], ...]
    png: str | None = None


@dataclass(frozen=True)
class LabelMeShape:
    """A shape, or several of one group.

    location: ``shape 2``, from 1; name: its label; box: x1 y1 x2 y2 around it, None for a point or a line, which has
    none; kind: LabelMe's type of shape; has_mask: True for a polygon or a mask; num_parts: shapes that form it;
    outlines: of the parts that have one.
    """

    location: str
    name: str
    box: Corners | None
    kind: str
    difficult: bool = False
    num_parts: int = 1
    outlines: tuple[Outline, ...] = ()

    @property
    def has_mask(self) -> bool:
        """Return True if the shape has an outline besides its box."""
        return self.kind in _OUTLINES


@dataclass(frozen=True)
class LabelMeFile:
    """The content of the file; image_path: as it is written; size: (h, w) as stated, None where it is missing."""

    image_path: str
    size: Size | None
    shapes: tuple[LabelMeShape, ...]


def is_labelme(file: Path) -> bool:
    """Return True if a JSON file starts like LabelMe's."""
    with file.open("rb") as stream:
        return _SHAPES.search(stream.read(_HEAD)) is not None


def read_labelme(file: Path, report_shape: Callable[[str, UserError], None]) -> LabelMeFile:
    """Return the content of a file; report_shape: called with the location and the fault of each unreadable shape.

    Raises UserError if the file is missing, or is none of LabelMe's.
    """
    content = read_json_file(file, "a JSON file of LabelMe")
    shapes = content.get("shapes") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(shapes, list):
        raise UserError(f'{file}: expected LabelMe\'s "shapes", found none')
    groups: dict[tuple[str, str], LabelMeShape] = {}
    for number, record in enumerate(shapes, start=1):
        location = f"shape {number}"
        try:
            shape = _parse_shape(file, location, record)
        except UserError as error:
            report_shape(location, error)
            continue
        group = record.get("group_id")
        key = (shape.name, location if group is None or shape.box is None else f"group {group}")
        groups[key] = _join(groups[key], shape) if key in groups else shape
    image_path = content.get("imagePath")
    return LabelMeFile(image_path if isinstance(image_path, str) else "", _parse_size(content), tuple(groups.values()))


def _parse_shape(file: Path, location: str, record: Any) -> LabelMeShape:
    """Return a shape. Raises UserError if it has no label or no points."""
    if not isinstance(record, dict):
        raise UserError(f"{file}: {location}: expected a shape, found {shorten(record)}")
    name = class_name(str(record.get("label") or "").strip())
    if not name:
        raise UserError(f'{file}: {location}: expected a "label", found none')
    kind = str(record.get("shape_type") or "polygon")  # LabelMe before version 3.3 knew no other type
    if kind in _WITHOUT_BOX:
        return LabelMeShape(location, name, None, kind)
    points = _parse_points(file, location, record.get("points"))
    if kind in ("circle", "rectangle", "mask") and len(points) < 2:
        raise UserError(f"{file}: {location}: points: expected two of a {kind}, found {len(points)}")
    png = record.get("mask") if kind == "mask" else None
    outlines = (Outline(tuple(points), png if kind != "mask" or isinstance(png, str) else ""),)
    return LabelMeShape(
        location=location,
        name=name,
        box=_box_around(kind, points),
        kind=kind,
        difficult=bool(record.get("difficult")),
        outlines=outlines if kind in _OUTLINES else (),
    )


def _parse_points(file: Path, location: str, points: Any) -> list[tuple[float, float]]:
    """Return the x, y of each point. Raises UserError."""
    try:
        parsed = [(float(x), float(y)) for x, y in points]
    except (TypeError, ValueError):
        parsed = []
    if not parsed:
        raise UserError(f"{file}: {location}: points: expected [x, y] of each, found {shorten(points)}")
    return parsed


def _box_around(kind: str, points: Sequence[tuple[float, float]]) -> Corners:
    """Return x1 y1 x2 y2 around a shape: a circle has its center and a point on it; a mask its first and last pixel."""
    if kind == "circle":
        (x, y), (edge_x, edge_y) = points[:2]
        radius = math.hypot(edge_x - x, edge_y - y)
        return x - radius, y - radius, x + radius, y + radius
    xs, ys = [x for x, _ in points], [y for _, y in points]
    last = 1 if kind == "mask" else 0
    return min(xs), min(ys), max(xs) + last, max(ys) + last


def _join(first: LabelMeShape, second: LabelMeShape) -> LabelMeShape:
    """Return two parts of one object as one shape with the box around both."""
    boxes = [shape.box for shape in (first, second) if shape.box is not None]
    x1, y1, x2, y2 = zip(*boxes, strict=True)
    return LabelMeShape(
        location=first.location,
        name=first.name,
        box=(min(x1), min(y1), max(x2), max(y2)),
        kind=first.kind if first.has_mask else second.kind,
        difficult=first.difficult or second.difficult,
        num_parts=first.num_parts + second.num_parts,
        outlines=(*first.outlines, *second.outlines),
    )


def _parse_size(content: dict[str, Any]) -> Size | None:
    """Return the (h, w) that the file states; None if it is missing or impossible."""
    height, width = content.get("imageHeight"), content.get("imageWidth")
    if isinstance(height, int | float) and isinstance(width, int | float) and 1 <= height < 1e9 and 1 <= width < 1e9:
        return int(height), int(width)
    return None
