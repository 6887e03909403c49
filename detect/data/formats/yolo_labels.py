"""YOLO's label file: a line ``class cx cy w h`` for each object, in fractions of the upright image's size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detect.data.formats.label_text import label_lines
from detect.data.formats.numbers import parse_center_box, parse_float, parse_fraction, parse_polygon_box
from detect.data.formats.records import Corners, LabeledObject, invalid_box_reason, outside_reason
from detect.data.formats.report import Report
from detect.data.formats.yolo_data import YoloData
from detect.data.masks import PolygonMask
from detect.errors import UserError
from detect.types import Size

_UNIT: Size = (1, 1)
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

    def mask(self, size: Size) -> PolygonMask | None:
        """Return the polygon in pixels of an image of ``size`` (h, w); None for a box."""
        if not self.is_polygon:
            return None
        sides = (size[1], size[0]) * (len(self.fields) // 2)
        return PolygonMask(
            (tuple(parse_fraction(field, side) for field, side in zip(self.fields, sides, strict=True)),)
        )


def read_labels(
    file: Path, data: YoloData, size: Size | None, report: Report, lengths: Counter[int], masks: bool = False
) -> tuple[LabeledObject, ...]:
    """Return the objects of one image of ``size`` (h, w); none if there is no file.

    A line ``class x y x y x y ...`` is a polygon, and its box is the one around it. Lines that cannot be read are
    reported. data: names the classes, and says how many numbers of keypoints follow each box, which are not read; size
    None: the image cannot be read; the boxes are then in fractions and not judged; lengths: to which the number of
    numbers of each object is added; masks: whether to keep the polygons as masks.
    """
    try:
        lines = read_lines(file, data.encoding)
    except UserError as error:
        report.add_error("damaged-annotation", file, "", error)
        return ()
    objects = []
    for line_number, text in lines:
        try:
            line = parse_line(file, line_number, text, data.names, data.keypoint_fields)
            objects.append(_to_labeled_object(line, size, masks))
            lengths[len(text.split()) - 1] += 1
        except _UnknownClass as error:
            report.add_error("unknown-id", file, f"line {line_number}", error)
        except UserError as error:
            report.add_error("damaged-annotation", file, f"line {line_number}", error)
    return tuple(objects)


def describe_lengths(lengths: Counter[int], keypoint_fields: int) -> str:
    """Return what was taken for the box of objects that are more than four numbers; empty if there are none.

    Eight numbers are the corners of Ultralytics' oriented boxes, or a polygon of four points: the file does not say
    which (docs.ultralytics.com/datasets/obb, /segment, /pose).
    """
    longer = sum(count for length, count in lengths.items() if length != 4)
    if not longer:
        return ""
    of_all = f"{longer} of {sum(lengths.values())} objects"
    if keypoint_fields:
        return f"kpt_shape: of {of_all} the box is read, and the keypoints are not"
    if longer == lengths[6]:
        hint = "if they are a box, a score and the number of a track, leave out the last two numbers"
        return f"{of_all} are taken for polygons of 3 points; {hint}"
    if longer == lengths[8]:
        return f"{of_all} have 4 points, of an oriented box or a polygon: the box is the one around them"
    return f"{of_all} are polygons: the box is the one around each"


class _UnknownClass(UserError):  # noqa: N818 - the name states the problem
    """A line whose class number is that of no name."""


def read_lines(file: Path, encoding: str | None = None) -> list[tuple[int, str]]:
    """Return (line number, text) of the lines that are not blank; none if there is no file. Raises UserError."""
    if not file.exists():
        return []
    lines = enumerate(label_lines(file, encoding), start=1)
    return [(line_number, text) for line_number, text in lines if text.strip()]


def parse_line(file: Path, line_number: int, text: str, names: Sequence[str], keypoint_fields: int = 0) -> YoloLine:
    """Parse one line; keypoint_fields: numbers that must follow the box, and are left out. Raises UserError."""
    first, *fields = text.split()
    location = f"line {line_number}"
    if keypoint_fields and len(fields) != 4:
        if len(fields) != 4 + keypoint_fields:
            expected = f"class cx cy w h and the {keypoint_fields} numbers of kpt_shape"
            raise UserError(f"{file}: {location}: expected {expected}, found {len(fields) + 1} fields")
        fields = fields[:4]
    polygon = len(fields) >= 6 and len(fields) % 2 == 0
    if (len(fields) != 4 and not polygon) or _has_track(fields):
        hint = " (a score? results are no labels)" if len(fields) == 5 else ""
        hint = " (a score and the number of a track? results are no labels)" if _has_track(fields) else hint
        hint = " (separate them by blanks, not by commas)" if not fields and "," in text else hint
        count = f"{len(fields) + 1} fields{hint}"
        raise UserError(
            f"{file}: {location}: expected class cx cy w h, or class and x y of 3 points or more, found {count}"
        )
    label = parse_float(first)
    if not (label.is_integer() and 0 <= label < len(names)):
        raise _UnknownClass(f"{file}: {location}: expected a class from 0 to {len(names) - 1}, found {first}")
    wrong = next((field for field in fields if parse_float(field) != parse_float(field)), None)
    if wrong is not None:
        raise UserError(f"{file}: {location}: expected numbers, found {wrong}")
    return YoloLine(location, names[int(label)], tuple(fields))


def _has_track(fields: Sequence[str]) -> bool:
    """Return True for ``cx cy w h score track``, as Ultralytics writes its results: no fraction is 2 or more."""
    return len(fields) == 6 and fields[5].isdecimal() and int(fields[5]) > 1 and max(map(parse_float, fields[:5])) <= 1


def _to_labeled_object(line: YoloLine, size: Size | None, masks: bool) -> LabeledObject:
    """Return the object of a line in an image of ``size`` (h, w), with the reason if its box is invalid."""
    box = line.box(size or _UNIT)
    reason = invalid_box_reason(box) or outside_reason(box, size)
    if line.in_pixels:
        reason = f"a box that is not in fractions: {' '.join(line.fields[:4])}"
    mask = line.mask(size) if masks and size is not None and reason is None else None
    numbers = _own_numbers(line)
    return LabeledObject(
        line.location, line.name, box, reason, has_mask=line.is_polygon, own_numbers=numbers, mask=mask
    )


def _own_numbers(line: YoloLine) -> Corners:
    """Return ``cx cy w h`` of a box, or of the box around a polygon, in fractions."""
    if line.is_polygon:
        x1, y1, x2, y2 = line.box(_UNIT)
        return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
    cx, cy, w, h = (parse_float(field) for field in line.fields)
    return cx, cy, w, h
