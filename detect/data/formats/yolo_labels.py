"""A label file of YOLO's: a line ``class cx cy w h`` for each object, fractions of the upright picture's size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detect.data.formats.numbers import from_centre, from_outline, number
from detect.data.formats.records import Corners, LabelledObject, flaw, misplaced
from detect.errors import UserError
from detect.system.files import text_lines
from detect.types import Size

_LARGEST = 4.0  # a fraction above it is a number of pixels: no box is four pictures wide


@dataclass(frozen=True)
class YoloLine:
    """One line: where it is, the class it names, and its numbers as they are written: four, or a polygon's."""

    where: str
    name: str
    fields: tuple[str, ...]

    @property
    def is_polygon(self) -> bool:
        """Whether the numbers are ``x y x y ...``."""
        return len(self.fields) > 4

    @property
    def in_pixels(self) -> bool:
        """Whether the numbers are no fractions."""
        return _LARGEST < max(abs(number(field)) for field in self.fields) < float("inf")

    def box(self, size: Size) -> Corners:
        """Continuous x1 y1 x2 y2 in a picture of ``size`` (h, w); of a polygon the box around it."""
        return from_outline(self.fields, size) if self.is_polygon else from_centre(self.fields, size)


def read_labels(file: Path, names: Sequence[str], size: Size) -> tuple[LabelledObject, ...]:
    """The objects of one image of ``size`` (h, w); none where there is no file.

    Of a line ``class x y x y x y ...``, a polygon, the box around it is taken. Raises UserError.
    """
    return tuple(_object(parse_line(file, place, text, names), size) for place, text in read_lines(file))


def read_lines(file: Path) -> list[tuple[int, str]]:
    """(1-based place, text) of the lines that are not blank; none where there is no file. Raises UserError."""
    if not file.exists():
        return []
    return [(place, text) for place, text in enumerate(text_lines(file), start=1) if text.strip()]


def parse_line(file: Path, place: int, text: str, names: Sequence[str]) -> YoloLine:
    """The line at a 1-based place. Raises UserError."""
    first, *fields = text.split()
    where = f"line {place}"
    polygon = len(fields) >= 6 and len(fields) % 2 == 0
    if len(fields) != 4 and not polygon:
        hint = " (a score? results are no labels)" if len(fields) == 5 else ""
        found = f"{len(fields) + 1} fields{hint}"
        raise UserError(
            f"{file}: {where}: expected class cx cy w h, or class and x y of 3 points or more, found {found}"
        )
    label = number(first)
    if not (label.is_integer() and 0 <= label < len(names)):
        raise UserError(f"{file}: {where}: expected a class from 0 to {len(names) - 1}, found {first}")
    wrong = next((field for field in fields if number(field) != number(field)), None)
    if wrong is not None:
        raise UserError(f"{file}: {where}: expected numbers, found {wrong}")
    return YoloLine(where, names[int(label)], tuple(fields))


def _object(line: YoloLine, size: Size) -> LabelledObject:
    box = line.box(size)
    reason = flaw(box) or misplaced(box, size)
    if line.in_pixels:
        reason = f"a box that is not in fractions: {' '.join(line.fields[:4])}"
    return LabelledObject(line.where, line.name, box, reason)
