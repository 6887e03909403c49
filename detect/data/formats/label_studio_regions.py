"""The regions of Label Studio's annotations: rectangles, ellipses, polygons and brush masks, in percent of the image.

A region is one record, whose label is in a list named for its type (``rectanglelabels``), or several of one ``id``:
``<Rectangle>`` beside ``<Labels>`` writes the shape and its label apart. A rectangle is turned by ``rotation`` degrees
about its first corner (label_studio_sdk, converter/utils.py). Polygons and brush masks whose ``parentID`` is another
of their label are parts of that object.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from detect.data.formats.label_studio_brush import decode_brush
from detect.data.formats.label_text import class_name
from detect.data.formats.records import Corners
from detect.data.formats.tool_labels import RECTANGLE, ReportShape, ToolShape, join_parts, outline_box
from detect.data.formats.tool_masks import draw_polygon
from detect.data.formats.turned_boxes import around_ellipse, around_turned
from detect.data.masks import RleMask, encode, mask_box
from detect.errors import UserError, shorten
from detect.types import Size

_LABELS = "labels"
_SHAPES = frozenset({RECTANGLE, "ellipse", "polygon", "brush", "bitmask", "keypoint", "vector", "line"})
_WITHOUT_BOX = frozenset({"keypoint", "vector", "line"})
_MAX_SIDE = 1e5  # pixels


def is_region(record: dict[str, Any]) -> bool:
    """Return True for a shape or the label of one, and False for answers, relations and other records."""
    kind = str(record.get("type") or "")
    return kind == _LABELS or kind.removesuffix(_LABELS) in _SHAPES


def read_regions(
    file: Path, location: str, records: Sequence[dict[str, Any]], size: Size, report_shape: ReportShape
) -> list[ToolShape]:
    """Return the shapes of an annotation in pixels of an image of ``size`` (h, w), and report damaged ones.

    location: where the annotation is in the file.
    """
    by_id: dict[str, list[dict[str, Any]]] = {}
    for index, record in enumerate(records, start=1):
        by_id.setdefault(str(record.get("id") or f"#{index}"), []).append(record)
    shapes: dict[str, ToolShape] = {}
    for region_id, parts in by_id.items():
        where = f"{location}, region {region_id}"
        try:
            shapes[region_id] = _parse_region(file, where, parts, size)
        except UserError as error:
            report_shape(where, error)
    parents = {str(record["id"]): str(record["parentID"]) for record in records if record.get("parentID")}
    return join_parts(
        replace(shape, group=_first_part(region_id, shapes, parents)) if shape.parts else shape
        for region_id, shape in shapes.items()
    )


def _first_part(region_id: str, shapes: Mapping[str, ToolShape], parents: Mapping[str, str]) -> str:
    """Return the id of the outline of which a region is a part: its own, unless its parent has the same label."""
    seen = {region_id}
    while (parent := parents.get(region_id, "")) in shapes and parent not in seen:
        if not shapes[parent].parts or shapes[parent].name != shapes[region_id].name:
            break
        seen.add(parent)
        region_id = parent
    return region_id


def _parse_region(file: Path, where: str, records: Sequence[dict[str, Any]], size: Size) -> ToolShape:
    """Return the shape of the records of one id. Raises UserError if it has no label, or damaged numbers."""
    shaped = next((record for record in records if record["type"] != _LABELS), records[0])
    names = list(dict.fromkeys(name for record in records for name in _labels(record)))
    if not names:
        raise UserError(f"{file}: {where}: expected a label, found none")
    kind = str(shaped["type"]).removesuffix(_LABELS)
    shape = ToolShape(location=where, name=names[0], kind=kind, box=None, num_labels=len(names))
    fields = shaped["value"] if isinstance(shaped.get("value"), dict) else {}
    if kind in _WITHOUT_BOX:
        return shape
    if kind == RECTANGLE:
        x, y, w, h = _scaled(fields, ("x", "y", "width", "height"), size)
        degrees = _degrees(fields)
        return replace(shape, box=_around_rectangle(x, y, w, h, degrees), turned=degrees % 360 != 0)
    if kind == "ellipse":
        x, y, rx, ry = _scaled(fields, ("x", "y", "radiusX", "radiusY"), size)
        return replace(shape, box=around_ellipse(x, y, rx, ry, math.radians(_degrees(fields))))
    if kind == "polygon":
        points = _parse_points(file, where, fields.get("points"), size)
        return replace(shape, box=outline_box(points), parts=(partial(draw_polygon, points),))
    if kind == "brush":
        mask = _parse_brush(file, where, fields.get("rle"), shaped, size)
        return replace(shape, box=mask_box(mask), parts=(lambda _: mask,))
    expected = "expected a rectangle, an ellipse, a polygon or a brush mask"
    raise UserError(f"{file}: {where}: {expected}, found {kind or 'a label without a shape'}")


def _labels(record: Mapping[str, Any]) -> list[str]:
    """Return the labels of a record, without empty ones."""
    fields = record.get("value")
    names = fields.get(record["type"]) if isinstance(fields, dict) else None
    return [class_name(str(name).strip()) for name in names if str(name).strip()] if isinstance(names, list) else []


def _scaled(fields: Mapping[str, Any], keys: Sequence[str], size: Size) -> list[float]:
    """Return numbers in percent of the width and the height in turn, in pixels; NaN for what is no number."""
    return [_number(fields.get(key)) * size[1 - index % 2] / 100 for index, key in enumerate(keys)]


def _number(field: Any) -> float:
    """Return a number of the JSON file; NaN for what is none."""
    return float(field) if isinstance(field, int | float) and not isinstance(field, bool) else math.nan


def _degrees(fields: Mapping[str, Any]) -> float:
    """Return the angle by which a shape is turned, clockwise; 0 where none is stated."""
    degrees = _number(fields.get("rotation"))
    return degrees if math.isfinite(degrees) else 0.0


def _around_rectangle(x: float, y: float, w: float, h: float, degrees: float) -> Corners:
    """Return x1 y1 x2 y2 around a rectangle of first corner ``x y`` and sides ``w h``, turned about that corner."""
    if degrees % 360 == 0:
        return x, y, x + w, y + h
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    return around_turned(x + (w * cos - h * sin) / 2, y + (w * sin + h * cos) / 2, w, h, angle)


def _parse_points(file: Path, where: str, points: Any, size: Size) -> list[tuple[float, float]]:
    """Return the points x, y of a polygon in pixels. Raises UserError."""
    try:
        parsed = [(float(x) * size[1] / 100, float(y) * size[0] / 100) for x, y in points]
    except (TypeError, ValueError):
        parsed = []
    if not parsed or not all(math.isfinite(x + y) for x, y in parsed):
        raise UserError(f'{file}: {where}: "points": expected [x, y] of each, found {shorten(points)}')
    return parsed


def _parse_brush(file: Path, where: str, rle: Any, record: Mapping[str, Any], size: Size) -> RleMask:
    """Return a brush mask in an image of ``size`` (h, w), which may differ from the size it was drawn at.

    Raises UserError.
    """
    height, width = _number(record.get("original_height")), _number(record.get("original_width"))
    try:
        if not 1 <= min(height, width) <= max(height, width) < _MAX_SIDE:
            raise ValueError('"original_height" and "original_width" in pixels')
        bitmap = decode_brush(rle, (int(height), int(width)))
    except ValueError as error:
        raise UserError(f'{file}: {where}: "rle": expected {error}, found {shorten(rle)}') from None
    if bitmap.shape != size:
        rows, columns = (np.arange(side) * length // side for side, length in zip(size, bitmap.shape, strict=True))
        bitmap = bitmap[rows[:, None], columns]
    return encode(bitmap)
