"""Boxes that are not where an object can be."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from detect.data.inspect.box_conventions import check_edges, check_readings, rows
from detect.data.inspect.findings import Finding
from detect.data.inspect.image_checks import Looks
from detect.data.inspect.scan_records import Four, SeenImage, SeenObject, Survey
from detect.ops import boxes as box_ops
from detect.types import Size

_TINY = 3.0  # pixels; of VOC 2007's 15,662 objects the thinnest is 5
_OUTSIDE = 1.5  # pixels, beyond what rounding and counting from 0 or 1 explain
_WHOLE = 0.5  # pixels
_SAME_OBJECT = 0.95  # IoU; VOC 2007 has two pairs of one class above it, both one object boxed twice
_SAME_BOX = 0.98  # IoU; a person who fills a sofa reaches 0.95
_FAR = 2.0  # fractions beyond it are pixels


def check_boxes(survey: Survey, looks: Looks) -> Iterator[Finding]:
    """First what most boxes share, then each box by itself, then pairs."""
    sized = [(image, size) for image in survey.images if (size := _size(image, looks)) is not None]
    plain = [
        (item, size)
        for image, size in sized
        for item in image.objects
        if _flaw_of_numbers(survey, item, size) is None and not item.crowd
    ]
    sides = rows([(size[1], size[0]) for _, size in plain], 2)
    unit = np.ones_like(sides) if survey.format == "yolo" else sides
    found = list(check_readings(survey, rows([item.written for item, _ in plain], 4), unit))
    misread = bool(found)
    if not misread and survey.format != "voc":
        found += check_edges(survey, rows([item.box for item, _ in plain], 4), sides)
    yield from found
    for image, size in sized:
        yield from _check_image(survey, image, size, misread)


def _check_image(survey: Survey, image: SeenImage, size: Size, misread: bool) -> Iterator[Finding]:
    """misread: the boxes' places mean nothing."""
    sound = []
    for item in image.objects:
        found = _flaw_of_numbers(survey, item, size)
        if found is None and not misread:
            found = _flaw_of_place(survey, item, size)
            if found is None or found[0] in ("reaches-outside", "whole-picture"):
                sound.append(item)
        if found is not None:
            kind, what = found
            yield Finding(kind, str(image.labels), item.where, f"{item.name}: {what}{_of(image)}")
    yield from _check_pairs(image, [item for item in sound if not item.crowd])


def _flaw_of_numbers(survey: Survey, item: SeenObject, size: Size) -> tuple[str, str] | None:
    """(kind, what) where the numbers cannot be a box in any reading."""
    numbers = item.written
    if not all(map(math.isfinite, numbers)):
        return "not-finite", _listed(numbers)
    if survey.format == "yolo":
        return ("pixels", _listed(numbers)) if max(numbers) > _FAR else None
    if all(0 <= number <= 1 for number in numbers) and min(size) > _FAR:
        return "fractions", _listed(numbers)
    return None


def _flaw_of_place(survey: Survey, item: SeenObject, size: Size) -> tuple[str, str] | None:
    """(kind, what) of the worst that is wrong with where the box is in its picture."""
    x1, y1, x2, y2 = item.box
    height, width = size
    told = f"{_listed(item.written)} in {width} x {height}"
    a, b, c, d = item.written if survey.format == "voc" else item.box  # VOC: one pixel is no extent
    if c < a or d < b:
        return "swapped-corners", told
    if c == a or d == b:
        return "no-extent", told
    if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
        return "outside", told
    if max(-x1, -y1, x2 - width, y2 - height) > _OUTSIDE:
        return "reaches-outside", told
    if survey.format == "voc" and min(item.written[:2]) < 1:
        return "shifted-corners", f"{told}; VOC counts from 1"
    if min(x2 - x1, y2 - y1) < _TINY:
        return "tiny", told
    if max(x1, y1, width - x2, height - y2) <= _WHOLE:
        return "whole-picture", told
    return None


def _check_pairs(image: SeenImage, items: list[SeenObject]) -> Iterator[Finding]:
    """Boxes that are on each other; each is told beside the first that it is on."""
    if len(items) < 2:
        return
    boxes = torch.tensor([item.box for item in items], dtype=torch.float64)
    close = (box_ops.iou(boxes, boxes) >= _SAME_OBJECT).triu(1)
    told: set[int] = set()
    for first, second in close.nonzero().tolist():
        a, b = items[first], items[second]
        overlap = float(box_ops.iou(boxes[first : first + 1], boxes[second : second + 1]))
        if second in told or (a.name != b.name and overlap < _SAME_BOX):
            continue
        told.add(second)
        kind = "duplicate-box" if a.name == b.name else "two-classes"
        what = f"{b.name}: IoU {overlap:.2f} with {a.where} ({a.name}){_of(image)}"
        yield Finding(kind, str(image.labels), b.where, what)


def _size(image: SeenImage, looks: Looks) -> Size | None:
    """What the boxes were drawn on: the size that the annotation tells, else the image's."""
    header = looks[image.image].header
    return image.told or (None if header is None else header.size)


def _of(image: SeenImage) -> str:
    """Names the image where the annotation file is not named for it."""
    return "" if image.labels.stem == image.image.stem else f" ({image.image.name})"


def _listed(numbers: Four) -> str:
    return " ".join(f"{number:g}" for number in numbers)
