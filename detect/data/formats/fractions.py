"""Finds boxes in fractions of the image in formats whose boxes are in pixels."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from detect.data.formats.records import Corners, LabeledImage
from detect.data.formats.report import Report
from detect.types import Size

_MIN_BOXES = 2  # one box alone may be of a pixel
_MAX_FRACTION = 1.01  # x + width exceeds 1 for rounding
_MIN_SIDE = 2  # pixels; in a smaller image a box in pixels has such numbers


def are_fractions(numbers: Corners, size: Size) -> bool:
    """Return True if the four numbers of a box are too small for pixels of an image of ``size`` (h, w)."""
    return all(0 <= number <= _MAX_FRACTION for number in numbers) and any(numbers) and min(size) > _MIN_SIDE


def report_fractions(images: Iterable[LabeledImage], file: Path, report: Report, hint: str = "") -> None:
    """Report images of which all boxes are in fractions; hint: another cure than to multiply them.

    file: where the labels are. Nearly always the first box ends the search.
    """
    judged = (
        (instance.own_numbers or instance.box, image.size)
        for image in images
        if image.size is not None
        for instance in image.objects
        if instance.invalid_reason is None
    )
    num_boxes = 0
    for numbers, size in judged:
        if not are_fractions(numbers, size):
            return
        num_boxes += 1
    if num_boxes >= _MIN_BOXES:
        actual = f"found all {num_boxes} within 0..1, as fractions of the image"
        cure = f"multiply x by its width and y by its height{hint}"
        report("fractions", file, "", f"expected boxes in pixels, {actual}: {cure}")
