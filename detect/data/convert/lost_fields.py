"""Counts the fields of objects that some formats have and others do not."""

from __future__ import annotations

from collections.abc import Iterable

from detect.data.convert.yolo_polygons import yolo_polygon
from detect.data.formats.detect_format import WritableFormat
from detect.data.formats.records import LabeledImage, LabeledObject

_LOST_FLAGS = {"yolo": ("difficult", "crowd", "truncated", "occluded", "pose"), "csv": ("occluded",)}


def lost_fields(images: Iterable[LabeledImage], target: WritableFormat) -> list[str]:
    """Return a phrase for each field that ``target`` cannot hold, with the number of objects that have the field.

    VOC, COCO and CSV hold difficult, crowd, truncated and pose, under the names that the format or detect defines, and
    all but CSV occluded. Only
    COCO holds the area of an object's mask, and every mask that can be read; YOLO a polygon of one ring whose box is
    the object's own.
    """
    pairs = [(instance, image) for image in images for instance in image.objects]
    instances = [instance for instance, _ in pairs]
    phrases = _count_fields(instances, _LOST_FLAGS.get(target, ()))
    num_masks = sum(instance.has_mask and not _holds_mask(instance, image, target) for instance, image in pairs)
    if num_masks:
        phrases.append(f"the outlines of {num_masks} objects")
    num_areas = sum(instance.area is not None and instance.area != _box_area(instance) for instance in instances)
    if num_areas and target != "coco":
        phrases.append(f"the areas of {num_areas} outlines")
    return phrases


def _holds_mask(instance: LabeledObject, image: LabeledImage, target: WritableFormat) -> bool:
    """Return True if ``target`` holds the mask of an object."""
    if target == "yolo":
        return yolo_polygon(instance, image.known_size) is not None
    return target == "coco" and instance.mask is not None


def nonstandard_fields(objects: Iterable[LabeledObject], target: WritableFormat) -> list[str]:
    """Return a phrase for each field that is written to ``target`` under a name that only detect reads, with the
    number of objects that have the field.
    """
    fields = {"voc": ("crowd",), "coco": ("difficult", "truncated", "occluded", "pose")}.get(target, ())
    return _count_fields(list(objects), fields)


def _count_fields(instances: list[LabeledObject], fields: Iterable[str]) -> list[str]:
    counts = {name: sum(bool(getattr(instance, name)) for instance in instances) for name in fields}
    return [f"{name} of {count} objects" for name, count in counts.items() if count]


def _box_area(instance: LabeledObject) -> float:
    x1, y1, x2, y2 = instance.box
    return (x2 - x1) * (y2 - y1)
