"""CSV: a row ``file,label,x1,y1,x2,y2`` for each object, corners in continuous pixels of the upright image, from 0.

The first row may name the columns, and then they may be in any order and ``difficult``, ``iscrowd``, ``truncated`` (0
or 1) and ``pose`` may be among them. An image without objects has a row with its file alone, the rest empty. Quotes are
those of the csv module: a field with a comma in double quotes, a double quote doubled. Semicolons or tabs in place of
commas are seen in the first line.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from detect.data.annotations import Annotations
from detect.data.formats.numbers import number
from detect.data.formats.records import (
    Corners,
    LabelledImage,
    LabelledObject,
    LabelledSet,
    annotations_of,
    flaw,
    image_ids,
    misplaced,
)
from detect.data.images import image_size
from detect.errors import UserError, nearest
from detect.system.files import existing_file
from detect.types import Size

COLUMNS = ("file", "label", "x1", "y1", "x2", "y2")
MARKS = ("difficult", "iscrowd", "truncated", "pose")
_CORNERS = COLUMNS[2:]
_SHOWN = 60  # letters of a row that is no such row


@dataclass(frozen=True)
class CsvRow:
    """One row: its line, its image's file with slashes, and its object; label None where the image has none."""

    line: int
    file: str
    label: str | None
    box: Corners
    difficult: bool
    crowd: bool
    truncated: bool
    pose: str


@dataclass
class _Image:
    image: Path
    size: Size
    objects: list[LabelledObject] = field(default_factory=list)


def read_csv(file: Path, folders: Sequence[Path], classes: Sequence[str] | None) -> Annotations:
    """The images of a CSV file in the order of their first rows.

    folders: paths start from the first of them that holds the first image. classes None: the names in the file,
    sorted. Boxes may reach outside the picture; those without extent, or entirely outside, are dropped and reported.
    The image id is the number in the file's name where every name is a number, else the 1-based place. Raises
    UserError.
    """
    return annotations_of(csv_images(file, folders), classes)


def csv_images(file: Path, folders: Sequence[Path]) -> LabelledSet:
    """The images of a CSV file as it gives them. Raises UserError."""
    columns, written = read_table(file)
    rows = [parse_row(file, line, columns, values) for line, values in written]
    folder = next((folder for folder in folders if rows and (folder / rows[0].file).is_file()), folders[0])
    images: dict[str, _Image] = {}
    for row in rows:
        if row.file not in images:
            image = existing_file(folder / row.file, f"the image of {file}, line {row.line}")
            images[row.file] = _Image(image.absolute(), image_size(image))
        image_file = images[row.file]
        image_file.objects += [] if row.label is None else [_object(row, row.label, image_file.size)]
    ids = image_ids(list(images))
    labelled = (
        LabelledImage(image.image, name, file, image.size, number, tuple(image.objects))
        for (name, image), number in zip(images.items(), ids, strict=True)
    )
    return LabelledSet(tuple(labelled))


def read_table(file: Path) -> tuple[tuple[str, ...], list[tuple[int, list[str]]]]:
    """The columns, and (line, values) of each row that is not empty. Raises UserError."""
    existing_file(file, "a CSV file of boxes")
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            delimiter = max(",;\t", key=stream.readline().count)
            stream.seek(0)
            reader = csv.reader(stream, delimiter=delimiter, strict=True)
            rows = [(reader.line_num, [value.strip() for value in row]) for row in reader if any(row)]
    except UnicodeDecodeError as error:
        found = f"byte {error.object[error.start]:#x}"
        raise UserError(f"{file}: expected text in UTF-8, found {found}: save it as CSV UTF-8") from None
    except (csv.Error, ValueError) as error:
        raise UserError(f"{file}: expected rows {','.join(COLUMNS)}, found {error}") from None
    columns = _header(file, *rows[0]) if rows else None
    return (COLUMNS, rows) if columns is None else (tuple(columns), rows[1:])


def parse_row(file: Path, line: int, columns: Sequence[str], values: Sequence[str]) -> CsvRow:
    """The row of a line. Raises UserError."""
    where = f"{file}: line {line}"
    if len(values) != len(columns):
        found = f"{len(values)}: {','.join(values)[:_SHOWN]}"
        raise UserError(f"{where}: expected {len(columns)} fields ({','.join(columns)}), found {found}")
    row = dict(zip(columns, values, strict=True))
    name = row["file"].replace("\\", "/")  # written on Windows
    if not name:
        raise UserError(f"{where}: expected the file of an image, found nothing")
    if not any(value for column, value in row.items() if column != "file"):
        return CsvRow(line, name, None, (0.0, 0.0, 0.0, 0.0), False, False, False, "")
    if not row["label"]:
        raise UserError(f"{where}: expected a label, found nothing")
    for column in _CORNERS:
        if number(row[column]) != number(row[column]):
            raise UserError(f'{where}: {column}: expected a number, found "{row[column]}"')
    x1, y1, x2, y2 = (number(row[column]) for column in _CORNERS)
    difficult, crowd, truncated = (_marked(where, row, column) for column in MARKS[:3])
    return CsvRow(line, name, row["label"], (x1, y1, x2, y2), difficult, crowd, truncated, row.get("pose", ""))


def _header(file: Path, line: int, row: Sequence[str]) -> list[str] | None:
    """The columns that a row names; None where it is a row of values: an object's, or of an image without any."""
    names = [value.lower() for value in row]
    if not {"file", "label"} & set(names) and (len(row) != len(COLUMNS) or not any(row[2:]) or _any_number(row[2:])):
        return None
    known = (*COLUMNS, *MARKS)
    for name in (*names, *COLUMNS):
        if name not in known or names.count(name) != 1:
            expected = f"the columns {','.join(COLUMNS)}"
            found = f'"{name}" {names.count(name)} times' if name in known else f'"{name}"{nearest(name, known)}'
            raise UserError(f"{file}: line {line}: expected {expected}, found {found}")
    return names


def _any_number(values: Sequence[str]) -> bool:
    return any(number(value) == number(value) for value in values)


def _object(row: CsvRow, label: str, size: Size) -> LabelledObject:
    return LabelledObject(
        where=f"line {row.line}",
        name=label,
        box=row.box,
        flaw=flaw(row.box) or misplaced(row.box, size),
        difficult=row.difficult,
        crowd=row.crowd,
        truncated=row.truncated,
        pose=row.pose,
    )


def _marked(where: str, row: dict[str, str], column: str) -> bool:
    value = row.get(column, "")
    if value not in ("", "0", "1"):
        raise UserError(f'{where}: {column}: expected 0 or 1, found "{value}"')
    return value == "1"
