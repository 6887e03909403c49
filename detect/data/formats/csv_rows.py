"""Parses one row of a CSV file of boxes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from detect.data.formats.csv_columns import NO_NAME, CsvColumns
from detect.data.formats.label_text import class_name
from detect.data.formats.numbers import parse_float
from detect.data.formats.records import Corners
from detect.errors import UserError
from detect.types import Size

_MAX_PREVIEW = 60  # characters of an invalid row that a message quotes
_UNKNOWN_FLAG = "-1"  # OpenImages: a flag that was not annotated
_ZERO_BOX: Corners = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class CsvRow:
    """One row of the file.

    line: its line number; file: the path of the image, with slashes; label: the class, None where the image has no
    objects; box: x1 y1 x2 y2 in pixels; fractions: the same as texts in fractions of the image, None where ``box``
    holds; declared_size: (h, w) of the image as the row states it, None where it states none; the other fields describe
    the object.
    """

    line: int
    file: str
    label: str | None
    box: Corners = _ZERO_BOX
    fractions: tuple[str, str, str, str] | None = None
    declared_size: Size | None = None
    difficult: bool = False
    crowd: bool = False
    truncated: bool = False
    pose: str = ""


def split_row(file: Path, line: int, columns: CsvColumns, values: Sequence[str]) -> dict[str, str]:
    """Return the value of each role of a row. Raises UserError if it has too many or too few values, or no image."""
    location = f"{file}: line {line}"
    if len(values) != len(columns.names):
        fields = f"{len(values)}: {','.join(values)[:_MAX_PREVIEW]}"
        raise UserError(f"{location}: expected {len(columns.names)} fields ({','.join(columns.names)}), found {fields}")
    row = {role: value for role, value in zip(columns.roles, values, strict=True) if role}
    row["file"] = row["file"].replace("\\", "/")  # a path written on Windows
    if not row["file"]:
        raise UserError(f"{location}: expected the file of an image, found nothing")
    return row


def parse_row(file: Path, line: int, columns: CsvColumns, values: Sequence[str]) -> CsvRow:
    """Parse the values of one line. Raises UserError."""
    location = f"{file}: line {line}"
    row = split_row(file, line, columns, values)
    size = parse_declared_size(row)
    if not any(row[role] for role in columns.box) and not row.get("label"):
        return CsvRow(line, row["file"], None, declared_size=size)
    label = row.get("label", NO_NAME)
    if not label:
        raise UserError(f"{location}: expected a label, found nothing")
    texts = _box_texts(location, columns, row)
    if columns.zeros_are_empty and all(parse_float(text) == 0 for text in texts):
        return CsvRow(line, row["file"], None, declared_size=size)
    if row.get("score") and parse_float(row["score"]) != 1:
        raise UserError(f"{location}: expected labels, found the score {row['score']}: results are no labels")
    return CsvRow(
        line=line,
        file=row["file"],
        label=class_name(label),
        box=_ZERO_BOX if columns.in_fractions else _to_corners(columns, texts),
        fractions=texts if columns.in_fractions else None,
        declared_size=size,
        difficult=_parse_flag(location, columns, row, "difficult"),
        crowd=_parse_flag(location, columns, row, "iscrowd"),
        truncated=_parse_flag(location, columns, row, "truncated"),
        pose=row.get("pose", ""),
    )


def parse_declared_size(row: Mapping[str, str]) -> Size | None:
    """Return the (h, w) that a row states; None where it states none, or an impossible one."""
    height, width = parse_float(row.get("height")), parse_float(row.get("width"))
    return (int(height), int(width)) if 1 <= height < 1e9 and 1 <= width < 1e9 else None


def _box_texts(location: str, columns: CsvColumns, row: Mapping[str, str]) -> tuple[str, str, str, str]:
    """Return the four numbers of the box as texts, in the order of ``columns.box``. Raises UserError."""
    names, texts = list(columns.box), [row[role] for role in columns.box]
    if columns.box == ("x y w h",):
        numbers = row["x y w h"].strip("[]() ")
        names, texts = ["bbox"] * 4, [text for text in re.split(r"[,;\s]+", numbers) if text]
        if len(texts) != 4:
            raise UserError(f'{location}: bbox: expected [x, y, width, height], found "{row["x y w h"]}"')
    for name, text in zip(names, texts, strict=True):
        if parse_float(text) != parse_float(text):
            raise UserError(f'{location}: {name}: expected a number, found "{text}"')
    first, second, third, fourth = texts
    return first, second, third, fourth


def _to_corners(columns: CsvColumns, texts: Sequence[str]) -> Corners:
    """Return x1 y1 x2 y2 of a box whose second corner or size the last two texts are."""
    x, y, third, fourth = map(parse_float, texts)
    return (x, y, third, fourth) if "x2" in columns.box else (x, y, x + third, y + fourth)


def _parse_flag(location: str, columns: CsvColumns, row: Mapping[str, str], role: str) -> bool:
    """Return the bool of a column that holds 0, 1 or nothing; in OpenImages also -1 for unknown."""
    value = row.get(role, "")
    if value not in ("", "0", "1") and not (columns.in_fractions and value == _UNKNOWN_FLAG):
        raise UserError(f'{location}: {role}: expected 0 or 1, found "{value}"')
    return value == "1"
