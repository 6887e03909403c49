"""Checks for boxes that cannot be the box of an object."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from detect.data.inspect.box_conventions import as_rows, check_convention, check_edge_offsets
from detect.data.inspect.findings import DatasetFinding
from detect.data.inspect.image_checks import ImageInfos
from detect.data.inspect.scan_records import FolderScan, FourFloats, RawImage, RawObject
from detect.ops import boxes as box_ops
from detect.types import Size

_MIN_SIDE = 3.0  # pixels; the thinnest of VOC 2007's 15,662 objects is 5 wide
_OUTSIDE_TOLERANCE = 1.5  # pixels; more than rounding and counting from 0 or 1 can explain
_WHOLE_IMAGE_TOLERANCE = 0.5  # pixels
_SAME_OBJECT_IOU = 0.95  # VOC 2007 has two pairs of one class above it, both one object with two boxes
_SAME_BOX_IOU = 0.98  # a person who fills a sofa reaches 0.95
_MAX_FRACTION = 2.0  # a larger number is in pixels


def check_boxes(scan: FolderScan, image_infos: ImageInfos) -> Iterator[DatasetFinding]:
    """Check first for faults that most boxes share, then each box by itself, then pairs of boxes."""
    sized = [(image, size) for image in scan.images if (size := _size(image, image_infos)) is not None]
    plain = [
        (raw_object, size)
        for image, size in sized
        for raw_object in image.objects
        if _check_numbers(scan, raw_object, size) is None and not raw_object.crowd
    ]
    image_sides = as_rows([(size[1], size[0]) for _, size in plain], 2)
    unit_sides = np.ones_like(image_sides) if scan.format == "yolo" else image_sides
    numbers = as_rows([raw_object.raw_numbers for raw_object, _ in plain], 4)
    findings = list(check_convention(scan, numbers, unit_sides))
    is_misread = bool(findings)
    if not is_misread and scan.format != "voc":
        corners = as_rows([raw_object.box for raw_object, _ in plain], 4)
        findings += check_edge_offsets(scan, corners, image_sides)
    yield from findings
    for image, size in sized:
        yield from _check_image(scan, image, size, is_misread)


def _check_image(scan: FolderScan, image: RawImage, size: Size, is_misread: bool) -> Iterator[DatasetFinding]:
    """Check the boxes of an image.

    is_misread: the boxes follow another convention than the format's, so that their positions mean nothing.
    """
    valid = []
    for raw_object in image.objects:
        fault = _check_numbers(scan, raw_object, size)
        if fault is None and not is_misread:
            fault = _check_position(scan, raw_object, size)
            if fault is None or fault[0] in ("reaches-outside", "whole-image"):
                valid.append(raw_object)
        if fault is not None:
            kind, description = fault
            message = f"{raw_object.name}: {description}{_image_note(image)}"
            yield DatasetFinding(kind, str(image.label_file), raw_object.location, message)
    yield from _check_pairs(image, [raw_object for raw_object in valid if not raw_object.crowd])


def _check_numbers(scan: FolderScan, raw_object: RawObject, size: Size) -> tuple[str, str] | None:
    """Return (kind, description) if the numbers cannot be a box in any convention."""
    numbers = raw_object.raw_numbers
    if not all(map(math.isfinite, numbers)):
        return "not-finite", _format_numbers(numbers)
    if scan.format == "yolo":
        return ("pixels", _format_numbers(numbers)) if max(numbers) > _MAX_FRACTION else None
    if all(0 <= x <= 1 for x in numbers) and min(size) > _MAX_FRACTION:
        return "fractions", _format_numbers(numbers)
    return None


def _check_position(scan: FolderScan, raw_object: RawObject, size: Size) -> tuple[str, str] | None:
    """Return (kind, description) of the worst fault of the box's position in its image."""
    x1, y1, x2, y2 = raw_object.box
    height, width = size
    description = f"{_format_numbers(raw_object.raw_numbers)} in {width} x {height}"
    # In VOC a box from a pixel to itself has no extent.
    a, b, c, d = raw_object.raw_numbers if scan.format == "voc" else raw_object.box
    if c < a or d < b:
        return "swapped-corners", description
    if c == a or d == b:
        return "no-extent", description
    if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
        return "outside", description
    if max(-x1, -y1, x2 - width, y2 - height) > _OUTSIDE_TOLERANCE:
        return "reaches-outside", description
    if scan.format == "voc" and min(raw_object.raw_numbers[:2]) < 1:
        return "shifted-corners", f"{description}; VOC counts from 1"
    if min(x2 - x1, y2 - y1) < _MIN_SIDE:
        return "tiny", description
    if max(x1, y1, width - x2, height - y2) <= _WHOLE_IMAGE_TOLERANCE:
        return "whole-image", description
    return None


def _check_pairs(image: RawImage, raw_objects: list[RawObject]) -> Iterator[DatasetFinding]:
    """Check for boxes that coincide. Each box is reported once, together with the first box that it coincides with."""
    if len(raw_objects) < 2:
        return
    boxes = torch.tensor([raw_object.box for raw_object in raw_objects], dtype=torch.float64)
    coincide = (box_ops.iou(boxes, boxes) >= _SAME_OBJECT_IOU).triu(1)
    reported: set[int] = set()
    for first, second in coincide.nonzero().tolist():
        a, b = raw_objects[first], raw_objects[second]
        iou = float(box_ops.iou(boxes[first : first + 1], boxes[second : second + 1]))
        if second in reported or (a.name != b.name and iou < _SAME_BOX_IOU):
            continue
        reported.add(second)
        kind = "duplicate-box" if a.name == b.name else "two-classes"
        message = f"{b.name}: IoU {iou:.2f} with {a.location} ({a.name}){_image_note(image)}"
        yield DatasetFinding(kind, str(image.label_file), b.location, message)


def _size(image: RawImage, image_infos: ImageInfos) -> Size | None:
    """Return the size on which the boxes were drawn: the declared size, or else the size of the image file."""
    header = image_infos[image.file].header
    return image.declared_size or (None if header is None else header.size)


def _image_note(image: RawImage) -> str:
    """Return the name of the image in brackets, or nothing if the annotation file is named after it."""
    return "" if image.label_file.stem == image.file.stem else f" ({image.file.name})"


def _format_numbers(numbers: FourFloats) -> str:
    return " ".join(f"{x:g}" for x in numbers)
