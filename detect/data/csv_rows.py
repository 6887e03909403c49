"""CSV: a row ``file,label,x1,y1,x2,y2`` for each object, corners in continuous pixels of the upright photo, from 0.

The first row may name the columns, and then they may be in any order and ``difficult``, ``iscrowd``, ``truncated`` (0
or 1) and ``pose`` may be among them. A photo without objects has a row with its file alone, the rest empty. Quotes are
those of the csv module: a field with a comma in double quotes, a double quote doubled.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from detect.data.annotations import Annotations
from detect.data.corners import number
from detect.data.images import image_size
from detect.data.labelled import LabelledObject, LabelledPhoto, LabelledSet, annotations_of, image_ids
from detect.data.validity import flaw, misplaced
from detect.errors import UserError, nearest
from detect.files import existing_file
from detect.types import Size

COLUMNS = ("file", "label", "x1", "y1", "x2", "y2")
MARKS = ("difficult", "iscrowd", "truncated", "pose")
_CORNERS = COLUMNS[2:]


@dataclass
class _Photo:
    image: Path
    size: Size
    objects: list[LabelledObject] = field(default_factory=list)


def read_csv(file: Path, folders: Sequence[Path], classes: Sequence[str] | None) -> Annotations:
    """The photos of a CSV file in the order of their first rows.

    folders: paths start from the first of them that holds the first photo. classes None: the names in the file,
    sorted. Boxes may reach outside the picture; those without extent, or entirely outside, are dropped and reported.
    The image id is the number in the file's name where every name is a number, else the 1-based place. Raises
    UserError.
    """
    return annotations_of(csv_photos(file, folders), classes)


def csv_photos(file: Path, folders: Sequence[Path]) -> LabelledSet:
    """The photos of a CSV file as it gives them. Raises UserError."""
    rows = _read_rows(file)
    names = [row["file"] for _, row in rows]
    folder = next((folder for folder in folders if names and (folder / names[0]).is_file()), folders[0])
    photos: dict[str, _Photo] = {}
    for line, row in rows:
        name = row["file"]
        if name not in photos:
            image = existing_file(folder / name, f"the photo of {file}, line {line}")
            photos[name] = _Photo(image.absolute(), image_size(image))
        found = _object(file, line, row, photos[name].size)
        if found is not None:
            photos[name].objects.append(found)
    ids = image_ids(list(photos))
    labelled = (
        LabelledPhoto(photo.image, name, file, photo.size, number, tuple(photo.objects))
        for (name, photo), number in zip(photos.items(), ids, strict=True)
    )
    return LabelledSet(tuple(labelled))


def _read_rows(file: Path) -> list[tuple[int, dict[str, str]]]:
    """(line, value by column) of each row that is not empty."""
    existing_file(file, "a CSV file of boxes")
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            rows = [(reader.line_num, [value.strip() for value in row]) for row in reader if any(row)]
    except (csv.Error, ValueError) as error:
        raise UserError(f"{file}: expected rows {','.join(COLUMNS)}, found {error}") from None
    columns = _header(file, *rows[0]) if rows else None
    if columns is not None:
        rows = rows[1:]
    columns = columns or list(COLUMNS)
    for line, row in rows:
        if len(row) != len(columns):
            raise UserError(
                f"{file}: line {line}: expected {len(columns)} fields ({','.join(columns)}), found {len(row)}"
            )
        if not row[columns.index("file")]:
            raise UserError(f"{file}: line {line}: expected the file of a photo, found nothing")
    found = [(line, dict(zip(columns, row, strict=True))) for line, row in rows]
    return [(line, row | {"file": row["file"].replace("\\", "/")}) for line, row in found]  # written on Windows


def _header(file: Path, line: int, row: Sequence[str]) -> list[str] | None:
    """The columns that a row names; None where it is a row of values: an object's, or of a photo without any."""
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


def _object(file: Path, line: int, row: dict[str, str], size: Size) -> LabelledObject | None:
    """None where all fields but the file's are empty."""
    if not any(value for column, value in row.items() if column != "file"):
        return None
    if not row["label"]:
        raise UserError(f"{file}: line {line}: expected a label, found nothing")
    for column in _CORNERS:
        if number(row[column]) != number(row[column]):
            raise UserError(f'{file}: line {line}: {column}: expected a number, found "{row[column]}"')
    x1, y1, x2, y2 = box = tuple(number(row[column]) for column in _CORNERS)
    return LabelledObject(
        where=f"line {line}",
        name=row["label"],
        box=(x1, y1, x2, y2),
        flaw=flaw(box) or misplaced(box, size),
        difficult=_marked(file, line, row, "difficult"),
        crowd=_marked(file, line, row, "iscrowd"),
        truncated=_marked(file, line, row, "truncated"),
        pose=row.get("pose", ""),
    )


def _marked(file: Path, line: int, row: dict[str, str], column: str) -> bool:
    value = row.get(column, "")
    if value not in ("", "0", "1"):
        raise UserError(f'{file}: line {line}: {column}: expected 0 or 1, found "{value}"')
    return value == "1"
