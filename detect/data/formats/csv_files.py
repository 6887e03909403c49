"""CSV: a row ``file,label,x1,y1,x2,y2`` for each object, corners in continuous pixels of the upright image, from 0.

The first row may name the columns. Then they may be in any order, and ``difficult``, ``iscrowd``, ``truncated`` (0 or
1) and ``pose`` may be among them. An image without objects has a row with its file only and all other fields empty.
Quotes follow the csv module: a field that contains a comma is in double quotes, and a double quote in it is doubled.
Semicolons or tabs instead of commas are detected from the first line.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from detect.data.annotations import Annotations
from detect.data.formats.annotation_files import NamedImages, annotation_file, csv_files, image_folders, split_name
from detect.data.formats.image_index import FileIndex
from detect.data.formats.numbers import parse_float
from detect.data.formats.records import (
    Corners,
    LabeledImage,
    LabeledObject,
    LabeledSet,
    image_ids,
    invalid_box_reason,
    outside_reason,
    to_annotations,
)
from detect.data.formats.report import Report, strict_report
from detect.data.formats.sizes import ImageSizes
from detect.errors import UserError, did_you_mean
from detect.system.files import require_file, require_folder
from detect.types import Size

COLUMNS = ("file", "label", "x1", "y1", "x2", "y2")
OPTIONAL_COLUMNS = ("difficult", "iscrowd", "truncated", "pose")
_CORNERS = COLUMNS[2:]
_MAX_PREVIEW = 60  # characters of an invalid row that a message quotes


@dataclass(frozen=True)
class CsvRow:
    """One row of the file.

    line: its line number; file: the path of the image, with slashes; label: the class, None where the image has no
    objects; the other fields describe the object.
    """

    line: int
    file: str
    label: str | None
    box: Corners
    difficult: bool
    crowd: bool
    truncated: bool
    pose: str


def read_csv(file: Path, folders: Sequence[Path], classes: Sequence[str] | None) -> Annotations:
    """Return the images of a CSV file in the order of their first rows.

    folders: paths start from the first folder that contains the first image. classes None: the names in the file,
    sorted. Boxes may reach outside the image; those without extent, or entirely outside, are dropped and reported. The
    image id is the number in the file name if every name is a number, else the index from 1. Raises UserError.
    """
    report = strict_report()
    images = NamedImages(list(folders), FileIndex(file.parent), report)
    return to_annotations(_read_file(file, images, report, ImageSizes()), classes)


class CsvFolder:
    """Reads the CSV files of a folder.

    images: the folder of the images, absolute or in root, None to search for it; report: where faults go; sizes:
    decides on the sizes of images.
    """

    def __init__(self, root: Path, images: Path | None, report: Report, sizes: ImageSizes) -> None:
        self.root = require_folder(root, "a folder with CSV files of boxes")
        self._images = images
        self._report = report
        self._sizes = sizes
        self._index = FileIndex(root if images is None else root / images)
        self._read: list[NamedImages] = []

    def split_names(self) -> list[str]:
        """Return the paths of the CSV files below the root, without suffix."""
        return [split_name(self.root, file) for file in csv_files(self.root)]

    def read_split(self, split: str) -> LabeledSet:
        """Return the images of a CSV file, named with or without its suffix, absolute or in the root."""
        file = annotation_file(self.root, split, ".csv")
        images = NamedImages(image_folders(self.root, file, self._images), self._index, self._report)
        self._read.append(images)
        return _read_file(file, images, self._report, self._sizes)

    def image_files(self, split: str) -> list[Path]:
        """Return the image files of a CSV file."""
        file = annotation_file(self.root, split, ".csv")
        images = NamedImages(image_folders(self.root, file, self._images), self._index, self._report)
        names = dict.fromkeys(row.file for row in _parse_rows(file, self._report))
        return [images.find(PurePosixPath(name), f"an image of {file}") for name in names]

    def unlisted_files(self) -> list[Path]:
        """Return nothing: an image has no labels but those of a CSV file."""
        return []

    def read_rest(self) -> tuple[LabeledImage, ...]:
        """Report the images beside those that were read which are in no CSV file; there are no other labels."""
        named = {file for images in self._read for file in images.files}
        for images in self._read:
            images.report_unlabelled(named, "in no CSV file")
        return ()


def _read_file(file: Path, images: NamedImages, report: Report, sizes: ImageSizes) -> LabeledSet:
    """Return the images of a CSV file with all their objects, valid or not. Raises UserError."""
    rows_by_name: dict[str, list[CsvRow]] = {}
    for row in _parse_rows(file, report):
        rows_by_name.setdefault(row.file, []).append(row)
    ids = image_ids(list(rows_by_name))
    labeled = []
    first_names: dict[Path, str] = {}
    for (name, rows), image_id in zip(rows_by_name.items(), ids, strict=True):
        line = f"line {rows[0].line}"
        image = images.find(PurePosixPath(name), f"the image of {file}, {line}")
        if first_names.setdefault(image, name) != name:
            report(
                "repeated-id", file, line, f"expected one name for each image, found {first_names[image]} and {name}"
            )
        size = sizes.size(image, None, ())
        objects = tuple(_to_labeled_object(row, row.label, size) for row in rows if row.label is not None)
        labeled.append(LabeledImage(image, name, file, size, image_id, objects))
    return LabeledSet(tuple(labeled))


def _parse_rows(file: Path, report: Report) -> list[CsvRow]:
    """Return the rows that can be parsed, and report the others."""
    try:
        columns, numbered_rows = read_rows(file)
    except UserError as error:
        report.add_error("damaged-annotation", file, "", error)
        return []
    rows = []
    for line, values in numbered_rows:
        try:
            rows.append(parse_row(file, line, columns, values))
        except UserError as error:
            report.add_error("damaged-annotation", file, f"line {line}", error)
    return rows


def read_rows(file: Path) -> tuple[tuple[str, ...], list[tuple[int, list[str]]]]:
    """Return the columns, and (line, values) of each row that is not empty. Raises UserError."""
    require_file(file, "a CSV file of boxes")
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            delimiter = max(",;\t", key=stream.readline().count)
            stream.seek(0)
            reader = csv.reader(stream, delimiter=delimiter, strict=True)
            rows = [(reader.line_num, [value.strip() for value in row]) for row in reader if any(row)]
    except UnicodeDecodeError as error:
        position = f"byte {error.object[error.start]:#x}"
        raise UserError(f"{file}: expected text in UTF-8, found {position}: save it as CSV UTF-8") from None
    except (csv.Error, ValueError) as error:
        raise UserError(f"{file}: expected rows {','.join(COLUMNS)}, found {error}") from None
    columns = _parse_header(file, *rows[0]) if rows else None
    if columns is None:
        _refuse_other_order(file, [values for _, values in rows])
        return COLUMNS, rows
    return tuple(columns), rows[1:]


def _refuse_other_order(file: Path, rows: Sequence[Sequence[str]]) -> None:
    """Raise UserError if rows without a header fit RetinaNet's order of columns and not COLUMNS.

    The values alone never reorder columns, because a number can be a label.
    """
    full = [row for row in rows if len(row) == len(COLUMNS) and any(row[1:])]
    if full and not all(_are_corners(row[2:]) for row in full) and all(_are_corners(row[1:5]) for row in full):
        order = ",".join(("file", *_CORNERS, "label"))
        expected = f"expected the columns {','.join(COLUMNS)}, found rows that fit {order}"
        raise UserError(f"{file}: line 1: {expected}: write that as the first line if it is what they are")


def _are_corners(values: Sequence[str]) -> bool:
    """Return True if four texts are the numbers of a box with extent."""
    x1, y1, x2, y2 = map(parse_float, values)
    return x1 < x2 and y1 < y2


def parse_row(file: Path, line: int, columns: Sequence[str], values: Sequence[str]) -> CsvRow:
    """Parse the values of one line. Raises UserError."""
    location = f"{file}: line {line}"
    if len(values) != len(columns):
        fields = f"{len(values)}: {','.join(values)[:_MAX_PREVIEW]}"
        raise UserError(f"{location}: expected {len(columns)} fields ({','.join(columns)}), found {fields}")
    row = dict(zip(columns, values, strict=True))
    name = row["file"].replace("\\", "/")  # a path written on Windows
    if not name:
        raise UserError(f"{location}: expected the file of an image, found nothing")
    if not any(value for column, value in row.items() if column != "file"):
        return CsvRow(line, name, None, (0.0, 0.0, 0.0, 0.0), False, False, False, "")
    if not row["label"]:
        raise UserError(f"{location}: expected a label, found nothing")
    for column in _CORNERS:
        if parse_float(row[column]) != parse_float(row[column]):
            raise UserError(f'{location}: {column}: expected a number, found "{row[column]}"')
    x1, y1, x2, y2 = (parse_float(row[column]) for column in _CORNERS)
    difficult, crowd, truncated = (_parse_flag(location, row, column) for column in OPTIONAL_COLUMNS[:3])
    return CsvRow(line, name, row["label"], (x1, y1, x2, y2), difficult, crowd, truncated, row.get("pose", ""))


def _parse_header(file: Path, line: int, row: Sequence[str]) -> list[str] | None:
    """Return the columns that a row names; None if it is a row of values, of an object or of an image without any."""
    names = [value.lower() for value in row]
    if not {"file", "label"} & set(names) and (len(row) != len(COLUMNS) or not any(row[2:]) or _has_number(row[2:])):
        return None
    known = (*COLUMNS, *OPTIONAL_COLUMNS)
    for name in (*names, *COLUMNS):
        if name not in known or names.count(name) != 1:
            expected = f"the columns {','.join(COLUMNS)}"
            mismatch = (
                f'"{name}" {names.count(name)} times' if name in known else f'"{name}"{did_you_mean(name, known)}'
            )
            raise UserError(f"{file}: line {line}: expected {expected}, found {mismatch}")
    return names


def _has_number(values: Sequence[str]) -> bool:
    """Return True if any of the values is a number."""
    return any(parse_float(value) == parse_float(value) for value in values)


def _to_labeled_object(row: CsvRow, label: str, size: Size | None) -> LabeledObject:
    """Return the object of a row in an image of ``size`` (h, w), with the reason if its box is invalid."""
    return LabeledObject(
        location=f"line {row.line}",
        name=label,
        box=row.box,
        invalid_reason=invalid_box_reason(row.box) or outside_reason(row.box, size),
        difficult=row.difficult,
        crowd=row.crowd,
        truncated=row.truncated,
        pose=row.pose,
    )


def _parse_flag(location: str, row: dict[str, str], column: str) -> bool:
    """Return the bool of a column that holds 0, 1 or nothing."""
    value = row.get(column, "")
    if value not in ("", "0", "1"):
        raise UserError(f'{location}: {column}: expected 0 or 1, found "{value}"')
    return value == "1"
