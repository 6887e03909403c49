"""The box around what some tools write in a VOC object instead of a <bndbox>, or beside it.

- Roboflow's ``<polygon><x1>..</x1><y1>..</y1><x2>..``, also of supervision (roboflow/supervision, pascal_voc.py),
- LabelMe's web tool and others: ``<polygon><pt><x>..</x><y>..</y></pt>..``,
- roLabelImg's ``<robndbox>`` with ``cx cy w h angle``, the angle in radians (github.com/cgvict/roLabelImg),
- CVAT's attribute ``rotation``, in degrees, by which the ``<bndbox>`` is turned about its center
  (docs.cvat.ai, "Pascal VOC"; cvat-ai/cvat#5881).
"""

from __future__ import annotations

import math
from xml.etree.ElementTree import Element

from detect.data.formats.numbers import format_float, parse_float
from detect.data.formats.turned_boxes import around_turned, is_turned

_ROTATED = "robndbox"
SHAPES = ("polygon", _ROTATED)


def find_shape(element: Element) -> str:
    """Return the tag of the polygon or rotated box of an <object>; empty where there is none."""
    return next((tag for tag in SHAPES if element.find(tag) is not None), "")


def corners_around(element: Element) -> list[str | None]:
    """Return xmin ymin xmax ymax as texts around the polygon or rotated box of an <object>; None where it has none."""
    shape = element.find(find_shape(element) or SHAPES[0])
    if shape is None:
        return [None] * 4
    if shape.tag == _ROTATED:
        cx, cy, w, h, angle = (parse_float(shape.findtext(tag)) for tag in ("cx", "cy", "w", "h", "angle"))
        x1, y1, x2, y2 = around_turned(cx, cy, w, h, angle)
        xs, ys = [x1, x2], [y1, y2]
    else:
        texts = [(child.tag.lower(), parse_float(child.text)) for child in shape.iter() if len(child) == 0]
        xs = [number for tag, number in texts if tag.startswith("x")]
        ys = [number for tag, number in texts if tag.startswith("y")]
    if not xs or len(xs) != len(ys):
        return [None] * 4
    return [format_float(number) for number in (min(xs), min(ys), max(xs), max(ys))]


def turned_corners(element: Element, corners: list[str | None]) -> list[str | None] | None:
    """Return the corners around the <bndbox> turned by CVAT's attribute; None where an <object> has no such angle."""
    angles = [
        parse_float(attribute.findtext("value"))
        for attribute in element.findall("attributes/attribute")
        if attribute.findtext("name") == "rotation"
    ]
    if not angles or not is_turned(angles[0]) or None in corners:
        return None
    x1, y1, x2, y2 = map(parse_float, corners)
    turned = around_turned((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, math.radians(angles[0]))
    return [format_float(number) for number in turned]
