"""Polygons as lines of YOLO's label files, where a line can hold them and says the same box."""

from __future__ import annotations

from detect.data.formats.numbers import format_fraction, parse_polygon_box
from detect.data.formats.records import LabeledObject
from detect.data.masks import PolygonMask
from detect.types import Size


def yolo_polygon(instance: LabeledObject, size: Size) -> list[str] | None:
    """Return the texts ``x y x y ...`` of an object's polygon, in fractions of an image of ``size`` (h, w).

    None where there is none of one ring (a line holds no second ring, no run lengths and no crowd), and where the box
    around it, which readers take, is not the object's own to the last bit.
    """
    mask = instance.mask
    if not isinstance(mask, PolygonMask) or len(mask.rings) != 1 or instance.crowd:
        return None
    sides = (size[1], size[0]) * (len(mask.rings[0]) // 2)
    texts = [format_fraction(number, side) for number, side in zip(mask.rings[0], sides, strict=True)]
    return texts if parse_polygon_box(texts, size) == instance.box else None
