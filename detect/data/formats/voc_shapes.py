"""The box around what some tools write in a VOC object instead of a <bndbox>, or beside it.

- Roboflow's ``<polygon><x1>..</x1><y1>..</y1><x2>..``, also of supervision (roboflow/supervision, pascal_voc.py),
- LabelMe's web tool and others: ``<polygon><pt><x>..</x><y>..</y></pt>..``,
- roLabelImg's ``<robndbox>`` with ``cx cy w h angle``, the angle in radians (github.com/cgvict/roLabelImg).
"""

from __future__ import annotations

import math
from xml.etree.ElementTree import Element

from detect.data.formats.numbers import format_float, parse_float

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
        half_width = (abs(w * math.cos(angle)) + abs(h * math.sin(angle))) / 2
        half_height = (abs(w * math.sin(angle)) + abs(h * math.cos(angle))) / 2
        xs, ys = [cx - half_width, cx + half_width], [cy - half_height, cy + half_height]
    else:
        texts = [(child.tag.lower(), parse_float(child.text)) for child in shape.iter() if len(child) == 0]
        xs = [number for tag, number in texts if tag.startswith("x")]
        ys = [number for tag, number in texts if tag.startswith("y")]
    if not xs or len(xs) != len(ys):
        return [None] * 4
    return [format_float(number) for number in (min(xs), min(ys), max(xs), max(ys))]
