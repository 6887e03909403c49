"""What some formats say of an object and others do not."""

from __future__ import annotations

from collections.abc import Iterable

from detect.data.formats.detect_format import BoxFormat
from detect.data.formats.records import LabelledObject

_EVERYWHERE_BUT_YOLO = ("difficult", "crowd", "truncated", "pose")


def lost_marks(objects: Iterable[LabelledObject], target: BoxFormat) -> list[str]:
    """Of each kind of mark that the target has no word for, how many objects bear it.

    VOC, COCO and CSV keep difficult, crowd, truncated and pose, each in the words of the formats that know them; only
    COCO keeps the area of an object's outline. Outlines are not kept.
    """
    known = list(objects)
    lines = []
    if target == "yolo":
        counts = {name: sum(bool(getattr(item, name)) for item in known) for name in _EVERYWHERE_BUT_YOLO}
        lines = [f"{name} of {count} objects" for name, count in counts.items() if count]
    outlined = sum(item.outlined for item in known)
    if outlined:
        lines.append(f"the outlines of {outlined} objects")
    areas = sum(item.area is not None and item.area != _box_area(item) for item in known)
    if areas and target != "coco":
        lines.append(f"the areas of {areas} outlines")
    return lines


def foreign_marks(objects: Iterable[LabelledObject], target: BoxFormat) -> list[str]:
    """Of each kind of mark that the target keeps in words of detect's own, how many objects bear it."""
    foreign = {"voc": ("crowd",), "coco": ("difficult", "truncated", "pose")}.get(target, ())
    known = list(objects)
    counts = {name: sum(bool(getattr(item, name)) for item in known) for name in foreign}
    return [f"{name} of {count} objects" for name, count in counts.items() if count]


def _box_area(item: LabelledObject) -> float:
    x1, y1, x2, y2 = item.box
    return (x2 - x1) * (y2 - y1)
