"""YOLO's label file: a line ``class cx cy w h`` for each object, in fractions of the upright image's size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detect.data.formats.numbers import parse_center_box, parse_float, parse_polygon_box
from detect.data.formats.records import Corners, LabeledObject, invalid_box_reason, outside_reason
from detect.errors import UserError
from detect.system.files import text_lines
from detect.types import Size

_MAX_FRACTION = 4.0  # a number above it is in pixels, as no box is four images wide


@dataclass(frozen=True)
class YoloLine:
    """One line of a label file.

    location: its line number as text; name: its class; fields: its numbers as text, four of a box or more of a polygon.
    """

    location: str
    name: str
    fields: tuple[str, ...]

    @property
    def is_polygon(self) -> bool:
        """True if the numbers are ``x y x y ...``."""
        return len(self.fields) > 4

    @property
    def in_pixels(self) -> bool:
        """True if the numbers are pixels instead of fractions."""
        return _MAX_FRACTION < max(abs(parse_float(field)) for field in self.fields) < float("inf")

    def box(self, size: Size) -> Corners:
        """Return x1 y1 x2 y2 in pixels of an image of ``size`` (h, w); for a polygon the box around it."""
        return parse_polygon_box(self.fields, size) if self.is_polygon else parse_center_box(self.fields, size)


def read_labels(file: Path, names: Sequence[str], size: Size) -> tuple[LabeledObject, ...]:
    """Return the objects of one image of ``size`` (h, w); none if there is no file.

    A line ``class x y x y x y ...`` is a polygon, and its box is the one around it. Raises UserError.
    """
    return tuple(
        _to_labeled_object(parse_line(file, line_number, text, names), size) for line_number, text in read_lines(file)
    )


def read_lines(file: Path) -> list[tuple[int, str]]:
    """Return (line number, text) of the lines that are not blank; none if there is no file. Raises UserError."""
    if not file.exists():
        return []
    return [(line_number, text) for line_number, text in enumerate(text_lines(file), start=1) if text.strip()]


def parse_line(file: Path, line_number: int, text: str, names: Sequence[str]) -> YoloLine:
    """Parse one line. Raises UserError."""
    first, *fields = text.split()
    location = f"line {line_number}"
    polygon = len(fields) >= 6 and len(fields) % 2 == 0
    if len(fields) != 4 and not polygon:
        hint = " (a score? results are no labels)" if len(fields) == 5 else ""
        count = f"{len(fields) + 1} fields{hint}"
        raise UserError(
            f"{file}: {location}: expected class cx cy w h, or class and x y of 3 points or more, found {count}"
        )
    label = parse_float(first)
    if not (label.is_integer() and 0 <= label < len(names)):
        raise UserError(f"{file}: {location}: expected a class from 0 to {len(names) - 1}, found {first}")
    wrong = next((field for field in fields if parse_float(field) != parse_float(field)), None)
    if wrong is not None:
        raise UserError(f"{file}: {location}: expected numbers, found {wrong}")
    return YoloLine(location, names[int(label)], tuple(fields))


def _to_labeled_object(line: YoloLine, size: Size) -> LabeledObject:
    """Return the object of a line in an image of ``size`` (h, w), with the reason if its box is invalid."""
    box = line.box(size)
    reason = invalid_box_reason(box) or outside_reason(box, size)
    if line.in_pixels:
        reason = f"a box that is not in fractions: {' '.join(line.fields[:4])}"
    return LabeledObject(line.location, line.name, box, reason)
