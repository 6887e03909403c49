"""A label file of YOLO's: a line ``class cx cy w h`` for each object, fractions of the upright picture's size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from detect.data.corners import from_centre, from_outline, number
from detect.data.labelled import LabelledObject
from detect.data.validity import flaw, misplaced
from detect.errors import UserError
from detect.types import Size

_LARGEST = 2.0  # a fraction above it is a number of pixels: half a picture outside is no label


def read_labels(file: Path, names: Sequence[str], size: Size) -> tuple[LabelledObject, ...]:
    """The objects of one photo of ``size`` (h, w); none where there is no file.

    Of a line ``class x y x y x y ...``, a polygon, the box around it is taken. Raises UserError.
    """
    if not file.is_file():
        return ()
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except ValueError:
        raise UserError(f"{file}: expected lines of class cx cy w h, found what is no UTF-8 text") from None
    return tuple(_object(file, line, text, names, size) for line, text in enumerate(lines, start=1) if text.strip())


def _object(file: Path, line: int, text: str, names: Sequence[str], size: Size) -> LabelledObject:
    first, *fields = text.split()
    where = f"line {line}"
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
    values = [number(field) for field in fields]
    wrong = next((field for field, value in zip(fields, values, strict=True) if value != value), None)
    if wrong is not None:
        raise UserError(f"{file}: {where}: expected numbers, found {wrong}")
    box = from_outline(fields, size) if polygon else from_centre(fields, size)
    reason = flaw(box) or misplaced(box, size)
    if _LARGEST < max(map(abs, values)) < float("inf"):
        reason = f"a box that is not in fractions: {' '.join(fields[:4])}"
    return LabelledObject(where, names[int(label)], box, reason)
