"""Checks for boxes that cannot be the box of an object."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from detect.data.findings import DatasetFinding
from detect.data.formats.fractions import are_fractions
from detect.data.formats.labeled_folder import LabeledFolder
from detect.data.formats.records import Corners, LabeledImage, LabeledObject
from detect.data.formats.sizes import fits_only_claim
from detect.data.inspect.box_conventions import as_rows, check_convention, check_edge_offsets
from detect.ops import boxes as box_ops
from detect.types import Size

_MIN_SIDE = 3.0  # pixels; the thinnest of VOC 2007's 15,662 objects is 5 wide
_OUTSIDE_TOLERANCE = 1.5  # pixels; more than rounding and counting from 0 or 1 can explain
_WHOLE_IMAGE_TOLERANCE = 0.5  # pixels
_SAME_OBJECT_IOU = 0.95  # VOC 2007 has two pairs of one class above it, both one object with two boxes
_SAME_BOX_IOU = 0.98  # a person who fills a sofa reaches 0.95
_MAX_FRACTION = 2.0  # a larger number is in pixels


def check_boxes(folder: LabeledFolder) -> Iterator[DatasetFinding]:
    """Check first for faults that most boxes share, then each box by itself, then pairs of boxes.

    The boxes of an image are judged by the size of its file, but not where they fit only the size that the labels
    state: then the image is another one, which is a finding of its own, and the positions mean nothing.
    """
    sized = [(image, image.size) for image in folder.images if image.size is not None and not fits_only_claim(image)]
    plain = [
        (instance, size)
        for image, size in sized
        for instance in image.objects
        if _check_numbers(folder, instance, size) is None and not instance.crowd
    ]
    image_sides = as_rows([(size[1], size[0]) for _, size in plain], 2)
    unit_sides = np.ones_like(image_sides) if folder.format == "yolo" else image_sides
    numbers = as_rows([_own_numbers(folder, instance) for instance, _ in plain], 4)
    findings = list(check_convention(folder, numbers, unit_sides))
    is_misread = bool(findings)
    if not is_misread and folder.format != "voc":
        corners = as_rows([instance.box for instance, _ in plain], 4)
        findings += check_edge_offsets(folder, corners, image_sides)
    yield from findings
    for image, size in sized:
        yield from _check_image(folder, image, size, is_misread)


def _check_image(folder: LabeledFolder, image: LabeledImage, size: Size, is_misread: bool) -> Iterator[DatasetFinding]:
    """Check the boxes of an image.

    is_misread: the boxes follow another convention than the format's, so that their positions mean nothing.
    """
    valid = []
    for instance in image.objects:
        fault = _check_numbers(folder, instance, size)
        if fault is None and not is_misread:
            fault = _check_position(folder, instance, size)
            if fault is None or fault[0] in ("reaches-outside", "whole-image"):
                valid.append(instance)
        if fault is not None:
            kind, description = fault
            message = f"{instance.name}: {description}{_image_note(image, instance)}"
            yield DatasetFinding(kind, str(image.label_file), instance.location, message)
    yield from _check_pairs(image, [instance for instance in valid if not instance.crowd])


def _check_numbers(folder: LabeledFolder, instance: LabeledObject, size: Size) -> tuple[str, str] | None:
    """Return (kind, description) if the numbers cannot be a box in any convention."""
    numbers = _own_numbers(folder, instance)
    if not all(map(math.isfinite, numbers)):
        return "not-finite", _format_numbers(numbers)
    if folder.format == "yolo":
        return ("pixels", _format_numbers(numbers)) if max(numbers) > _MAX_FRACTION else None
    if are_fractions(numbers, size):
        return "fractions", _format_numbers(numbers)
    return None


def _check_position(folder: LabeledFolder, instance: LabeledObject, size: Size) -> tuple[str, str] | None:
    """Return (kind, description) of the worst fault of the box's position in its image."""
    numbers = _own_numbers(folder, instance)
    x1, y1, x2, y2 = instance.box
    height, width = size
    description = f"{_format_numbers(numbers)} in {width} x {height}"
    # In VOC a box from a pixel to itself has no extent.
    a, b, c, d = numbers if folder.format == "voc" else instance.box
    if c < a or d < b:
        return "swapped-corners", description
    if c == a or d == b:
        return "no-extent", description
    if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
        return "outside", description
    if max(-x1, -y1, x2 - width, y2 - height) > _OUTSIDE_TOLERANCE:
        return "reaches-outside", description
    if folder.format == "voc" and min(numbers[:2]) < 1:
        return "shifted-corners", f"{description}; VOC counts from 1"
    if min(x2 - x1, y2 - y1) < _MIN_SIDE:
        return "tiny", description
    if max(x1, y1, width - x2, height - y2) <= _WHOLE_IMAGE_TOLERANCE:
        return "whole-image", description
    return None


def _check_pairs(image: LabeledImage, objects: list[LabeledObject]) -> Iterator[DatasetFinding]:
    """Check for boxes that coincide. Each box is reported once, together with the first box that it coincides with."""
    if len(objects) < 2:
        return
    boxes = torch.tensor([instance.box for instance in objects], dtype=torch.float64)
    coincide = (box_ops.iou(boxes, boxes) >= _SAME_OBJECT_IOU).triu(1)
    reported: set[int] = set()
    for first, second in coincide.nonzero().tolist():
        a, b = objects[first], objects[second]
        iou = float(box_ops.iou(boxes[first : first + 1], boxes[second : second + 1]))
        if second in reported or (a.name != b.name and iou < _SAME_BOX_IOU):
            continue
        reported.add(second)
        kind = "duplicate-box" if a.name == b.name else "two-classes"
        message = f"{b.name}: IoU {iou:.2f} with {a.location} ({a.name}){_image_note(image, b)}"
        yield DatasetFinding(kind, str(image.label_file), b.location, message)


def _own_numbers(folder: LabeledFolder, instance: LabeledObject) -> Corners:
    """Return the four numbers of an object in the order and units of its file."""
    if folder.format == "coco":
        x1, y1, x2, y2 = instance.box
        return x1, y1, x2 - x1, y2 - y1
    return instance.own_numbers or instance.box


def _image_note(image: LabeledImage, instance: LabeledObject) -> str:
    """Return the name of the image in brackets, or nothing if the annotation file or the location names it."""
    is_named = image.label_file.stem == image.file.stem or instance.location.endswith(image.name)
    return "" if is_named else f" ({image.file.name})"


def _format_numbers(numbers: Corners) -> str:
    return " ".join(f"{x:g}" for x in numbers)
