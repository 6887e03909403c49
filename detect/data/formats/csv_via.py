"""The CSV of the VGG Image Annotator (VIA): a row for each region, with its shape and its attributes as JSON.

``filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes``, where a shape
is ``{"name":"rect","x":10,"y":12,"width":30,"height":32}``, and the attributes are those that the user defined
(Dutta and Zisserman, "The VIA Annotation Software for Images, Audio and Video", 2019; gitlab.com/vgg/via,
via-2.x.y/src/via.js: ``package_region_data`` and ``import_annotations_from_csv``). An image without regions has a row
with an empty shape.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detect.data.formats.csv_columns import CsvColumns
from detect.data.formats.csv_rows import CsvRow, split_row
from detect.data.formats.label_text import class_name
from detect.data.formats.records import Corners
from detect.errors import UserError, shorten

_CLASS_ATTRIBUTES = ("label", "class", "class_name", "category", "name", "type", "object")


def class_attribute(file: Path, columns: CsvColumns, rows: Sequence[tuple[int, Sequence[str]]]) -> str:
    """Return the attribute that names the class of a region: the only one of the file, else one named like a class.

    Raises UserError if several attributes, or none, could be it.
    """
    index = columns.roles.index("attributes")
    parsed = [_parse_json(values[index]) for _, values in rows if len(values) == len(columns.roles)]
    names = list(dict.fromkeys(name for attributes in parsed for name, text in attributes.items() if text))
    likely = [name for name in _CLASS_ATTRIBUTES if name in (each.lower() for each in names)][:1]
    candidates = names if len(names) == 1 else [name for name in names if name.lower() in likely]
    if len(candidates) == 1 or not any(parsed):
        return candidates[0] if candidates else ""
    attributes = f"the attributes {', '.join(names[:5])}" if names else "attributes without values"
    raise UserError(f"{file}: region_attributes: expected the attribute label, with the class, found {attributes}")


def parse_region(file: Path, line: int, columns: CsvColumns, values: Sequence[str], attribute: str) -> CsvRow:
    """Parse the values of one line; attribute: the one that names the class. Raises UserError."""
    row = split_row(file, line, columns, values)
    shape = _parse_json(row["shape"])
    if not shape:
        return CsvRow(line, row["file"], None)
    label = _parse_choice(_parse_json(row["attributes"]).get(attribute))
    if not label:
        raise UserError(f'{file}: line {line}: expected a class in "{attribute}", found {shorten(row["attributes"])}')
    try:
        return CsvRow(line, row["file"], label, _shape_box(shape))
    except (KeyError, TypeError, ValueError):
        expected = "a rect, circle, ellipse, polygon, polyline or point of VIA with its numbers"
        raise UserError(f"{file}: line {line}: expected {expected}, found {shorten(row['shape'])}") from None


def _parse_json(text: str) -> Mapping[str, Any]:
    """Return the values of a JSON object; none for anything else."""
    try:
        content = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {"damaged": text}
    return content if isinstance(content, dict) else {"damaged": text}


def _parse_choice(chosen: Any) -> str:
    """Return a class: a text, or the only checked name of a checkbox ``{"cat": true}``; empty otherwise."""
    if isinstance(chosen, dict):
        checked = [name for name, is_checked in chosen.items() if is_checked]
        chosen = checked[0] if len(checked) == 1 else ""
    return class_name(chosen.strip()) if isinstance(chosen, str) else ""


def _shape_box(shape: Mapping[str, Any]) -> Corners:
    """Return x1 y1 x2 y2 of a shape, or of the box around it; a point has a box without extent.

    Raises KeyError, TypeError or ValueError where numbers are missing or the kind of shape is not known.
    """
    kind = shape["name"]
    if kind == "rect":
        x, y, width, height = (float(shape[key]) for key in ("x", "y", "width", "height"))
        return x, y, x + width, y + height
    if kind in ("polygon", "polyline"):
        xs, ys = [list(map(float, shape[key])) for key in ("all_points_x", "all_points_y")]
        return min(xs), min(ys), max(xs), max(ys)
    center_x, center_y = float(shape["cx"]), float(shape["cy"])
    if kind not in ("point", "circle", "ellipse"):
        raise ValueError(kind)
    rx, ry = (float(shape.get(key, shape.get("r", 0))) for key in ("rx", "ry"))
    theta = float(shape.get("theta", 0))  # radians
    half_width = math.hypot(rx * math.cos(theta), ry * math.sin(theta))
    half_height = math.hypot(rx * math.sin(theta), ry * math.cos(theta))
    return center_x - half_width, center_y - half_height, center_x + half_width, center_y + half_height
