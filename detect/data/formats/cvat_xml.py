"""Parses "CVAT for images 1.1": one XML file of a task or project, with labels, images and their shapes.

Coordinates are continuous pixels of the upright image, from 0 (docs.cvat.ai, "XML annotation format"). A ``<box>`` may
be turned by ``rotation`` degrees about its center. A ``<mask>`` has the run lengths of its window, row by row,
uncovered and covered in turn. Polygons and masks of one ``group_id`` and label are parts of one object, as in CVAT's
own export to COCO.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element

from detect.data.formats.label_text import class_name
from detect.data.formats.numbers import parse_float
from detect.data.formats.records import Corners
from detect.data.formats.report import Report
from detect.data.formats.tool_labels import (
    RECTANGLE,
    DrawMask,
    ReportShape,
    ToolFile,
    ToolShape,
    join_parts,
    outline_box,
    relative_path,
)
from detect.data.formats.tool_masks import draw_polygon, draw_window
from detect.data.formats.turned_boxes import around_ellipse, around_turned, is_turned
from detect.data.formats.xml_files import read_head, read_xml
from detect.errors import UserError, shorten
from detect.types import Size

_HEAD = 4096  # bytes
_ROOT = re.compile(rb"<annotations[\s>].*<(version|meta|image|track)[\s>]", re.DOTALL)
_WITHOUT_BOX = frozenset({"points", "polyline", "skeleton"})
_OTHER_LABELS = frozenset({"tag", "points", "polyline", "skeleton"})  # types of labels that no object here can have
_FLAGS = frozenset({"difficult", "truncated", "iscrowd", "is_crowd"})  # attributes of shapes that are read
_CUBOID = tuple(f"{corner}{side}" for side in (1, 2) for corner in ("tl", "bl", "tr", "br"))
_CORNERS = ("xtl", "ytl", "xbr", "ybr")
_CURE = "export the task as CVAT for images 1.1, which has the boxes of each frame"


@dataclass(frozen=True)
class CvatImage:
    """An ``<image>``; the properties are those of ``ToolImage``."""

    location: str
    path: PurePosixPath
    declared_size: Size | None
    subset: str
    num_unread: int
    element: Element
    file: Path

    def shapes(self, size: Size | None, report_shape: ReportShape) -> list[ToolShape]:  # noqa: ARG002 - in pixels
        """Return the shapes, and report those that cannot be read."""
        shapes = []
        for index, element in enumerate((child for child in self.element if child.tag != "tag"), start=1):
            location = f"{element.tag} {index} of {self.path}"
            try:
                shapes.append(_parse_shape(self.file, location, element))
            except UserError as error:
                report_shape(location, error)
        return join_parts(shapes)


def is_cvat(file: Path) -> bool:
    """Return True if a file starts like CVAT's, whether of images or of a video."""
    return _ROOT.search(read_head(file, _HEAD)) is not None


def read_cvat(file: Path, report: Report) -> ToolFile:
    """Return the content of a file; images without a name are reported. Raises UserError for another file."""
    tree = read_xml(file, "a file of CVAT", "CVAT's XML")
    if tree.tag != "annotations":
        raise UserError(f"{file}: expected CVAT's <annotations>, found <{str(tree.tag)[:40]}>")
    num_tracks = len(tree.findall("track"))
    if num_tracks:
        raise UserError(f"{file}: expected CVAT for images, found {num_tracks} tracks of CVAT for video: {_CURE}")
    images = []
    for index, element in enumerate(tree.findall("image"), start=1):
        path = relative_path(element.get("name", ""))
        if not path.name:
            error = UserError(f"{file}: image {index}: expected a name, found none")
            report.add_error("damaged-annotation", file, f"image {index}", error)
            continue
        images.append(
            CvatImage(
                location=f"image {index}",
                path=path,
                declared_size=_parse_size(element),
                subset=(element.get("subset") or "").strip(),
                num_unread=_count_unread(element),
                element=element,
                file=file,
            )
        )
    return ToolFile(tuple(images), _label_names(tree))


def _label_names(tree: Element) -> tuple[str, ...] | None:
    """Return the labels of the task, project or job which boxes or masks can have; None where the file has none."""
    labels = [label for label in tree.findall("meta/*/labels/label") if not (label.findtext("parent") or "").strip()]
    names = [
        class_name((label.findtext("name") or "").strip())
        for label in labels
        if (label.findtext("type") or "").strip() not in _OTHER_LABELS
    ]
    return tuple(dict.fromkeys(filter(None, names))) or None


def _count_unread(image: Element) -> int:
    """Return how many tags an image has, and how many attributes of its shapes are none of _FLAGS."""
    attributes = [attribute for shape in image if shape.tag != "tag" for attribute in shape.iter("attribute")]
    return len(image.findall("tag")) + sum(attribute.get("name") not in _FLAGS for attribute in attributes)


def _parse_size(image: Element) -> Size | None:
    """Return the (h, w) of an image; None if it is missing or impossible."""
    height, width = parse_float(image.get("height")), parse_float(image.get("width"))
    return (int(height), int(width)) if 1 <= height < 1e9 and 1 <= width < 1e9 else None


def _parse_shape(file: Path, location: str, element: Element) -> ToolShape:
    """Return a shape. Raises UserError if it has no label, is of an unknown kind, or has damaged points."""
    name = class_name((element.get("label") or "").strip())
    if not name:
        raise UserError(f"{file}: {location}: expected a label, found none")
    kind = str(element.tag)
    group = element.get("group_id", "0")
    if kind in _WITHOUT_BOX:
        return ToolShape(location=location, name=name, kind=kind, box=None)
    is_outline = kind in ("polygon", "mask")
    flags = {attribute.get("name", ""): _is_set(attribute) for attribute in element.findall("attribute")}
    return ToolShape(
        location=location,
        name=name,
        kind=RECTANGLE if kind == "box" else kind,
        box=_parse_box(file, location, element),
        turned=kind == "box" and is_turned(_rotation(element)),
        difficult=flags.get("difficult", False),
        crowd=flags.get("is_crowd", False) or flags.get("iscrowd", False),
        truncated=flags.get("truncated", False),
        occluded=element.get("occluded") == "1",
        group=f"group {group}" if is_outline and group != "0" else "",
        parts=_parse_parts(file, location, element) if is_outline else (),
    )


def _is_set(attribute: Element) -> bool:
    """Return True for a checkbox that is ticked, or for 1."""
    return (attribute.text or "").strip().lower() in ("true", "1")


def _rotation(element: Element) -> float:
    """Return the degrees by which a shape is turned, clockwise."""
    return parse_float(element.get("rotation", "0"))


def _parse_box(file: Path, location: str, element: Element) -> Corners:
    """Return x1 y1 x2 y2 around a shape, NaN where a number is missing. Raises UserError for an unknown kind."""
    if element.tag == "box":
        x1, y1, x2, y2 = (parse_float(element.get(key)) for key in _CORNERS)
        if not is_turned(_rotation(element)):
            return x1, y1, x2, y2
        return around_turned((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, math.radians(_rotation(element)))
    if element.tag == "ellipse":
        cx, cy, rx, ry = (parse_float(element.get(key)) for key in ("cx", "cy", "rx", "ry"))
        return around_ellipse(cx, cy, rx, ry, math.radians(_rotation(element)))
    if element.tag == "polygon":
        return outline_box(_parse_points(file, location, element))
    if element.tag == "cuboid":
        corners = [(parse_float(element.get(f"x{key}")), parse_float(element.get(f"y{key}"))) for key in _CUBOID]
        return outline_box(corners) if all(math.isfinite(x + y) for x, y in corners) else (math.nan,) * 4
    if element.tag == "mask":
        left, top, width, height = (parse_float(element.get(key)) for key in ("left", "top", "width", "height"))
        return left, top, left + width, top + height
    raise UserError(f"{file}: {location}: expected a shape of CVAT, found <{element.tag}>")


def _parse_points(file: Path, location: str, element: Element) -> list[tuple[float, float]]:
    """Return the points of ``x,y;x,y;...``. Raises UserError."""
    text = element.get("points", "")
    pairs = [tuple(map(parse_float, pair.split(","))) for pair in text.split(";")]
    points = [(pair[0], pair[1]) for pair in pairs if len(pair) == 2 and all(map(math.isfinite, pair))]
    if len(points) < len(pairs):
        raise UserError(f'{file}: {location}: expected points "x,y;x,y;...", found {shorten(text)}')
    return points


def _parse_parts(file: Path, location: str, element: Element) -> tuple[DrawMask, ...]:
    """Return what draws a polygon or a mask. Raises UserError."""
    if element.tag == "polygon":
        return (partial(draw_polygon, _parse_points(file, location, element)),)
    window = [element.get(key, "") for key in ("left", "top", "width", "height")]
    return (partial(draw_window, element.get("rle", ""), window),)
