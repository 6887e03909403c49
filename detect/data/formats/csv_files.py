"""CSV: a row ``file,label,x1,y1,x2,y2`` for each object, corners in continuous pixels of the upright image, from 0.

The first row may name the columns. Then they may be in any order, and ``difficult``, ``iscrowd``, ``truncated`` (0 or
1) and ``pose`` may be among them; ``csv_columns.py`` lists the names that other tools give them. An image without
objects has a row with its file only and all other fields empty. Quotes follow the csv module: a field that contains a
comma is in double quotes, and a double quote in it is doubled. Semicolons or tabs instead of commas are detected from
the first line.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from detect.data.annotations import Annotations
from detect.data.formats.annotation_files import NamedImages, annotation_file, csv_files, image_folders, split_name
from detect.data.formats.csv_class_names import is_class_list, read_descriptions
from detect.data.formats.csv_columns import COLUMNS, OWN_COLUMNS, CsvColumns, parse_header
from detect.data.formats.csv_rows import CsvRow, parse_row
from detect.data.formats.csv_via import class_attribute, parse_region
from detect.data.formats.fractions import report_fractions
from detect.data.formats.image_index import FileIndex
from detect.data.formats.label_text import read_label_text
from detect.data.formats.numbers import parse_float, parse_fractions
from detect.data.formats.records import (
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
from detect.errors import UserError
from detect.system.files import require_folder
from detect.types import Size

# What tools write without a first row that names it, in names that ``csv_columns.py`` knows: RetinaNet
# (github.com/fizyr/keras-retinanet, "CSV datasets"), SKU110K (github.com/eg4000/SKU110K_CVPR19, "Dataset"), and the
# TensorFlow tutorial's columns.
_ORDERS_WITHOUT_HEADER = (
    "file,x1,y1,x2,y2,label",
    "image_name,x1,y1,x2,y2,class,image_width,image_height",
    "filename,image_width,image_height,class,x1,y1,x2,y2",
)
_FRACTIONS_HINT = ", or name the columns as OpenImages does, in any order: ImageID,LabelName,XMin,XMax,YMin,YMax"


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
    decides on the sizes of images; encoding: of files without a byte order mark, None for UTF-8.
    """

    def __init__(
        self, root: Path, images: Path | None, report: Report, sizes: ImageSizes, encoding: str | None = None
    ) -> None:
        self.root = require_folder(root, "a folder with CSV files of boxes")
        self._images = images
        self._report = report
        self._sizes = sizes
        self._index = FileIndex(root if images is None else root / images)
        self._read: list[NamedImages] = []
        self._encoding = encoding

    def split_names(self) -> list[str]:
        """Return the paths of the CSV files below the root, without suffix."""
        files = csv_files(self.root)
        for file in filter(is_class_list, files):
            self._report.note("dialect", file, "", "a list of classes, by its name")
        return [split_name(self.root, file) for file in files if not is_class_list(file)]

    def read_split(self, split: str) -> LabeledSet:
        """Return the images of a CSV file, named with or without its suffix, absolute or in the root."""
        file = annotation_file(self.root, split, ".csv")
        images = NamedImages(image_folders(self.root, file, self._images), self._index, self._report, split)
        self._read.append(images)
        return _read_file(file, images, self._report, self._sizes, self._encoding)

    def image_files(self, split: str) -> list[Path]:
        """Return the image files of a CSV file."""
        file = annotation_file(self.root, split, ".csv")
        images = NamedImages(image_folders(self.root, file, self._images), self._index, self._report)
        names = dict.fromkeys(row.file for row in _parse_rows(file, self._report, self._encoding))
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


def _read_file(
    file: Path, images: NamedImages, report: Report, sizes: ImageSizes, encoding: str | None = None
) -> LabeledSet:
    """Return the images of a CSV file with all their objects, valid or not. Raises UserError."""
    rows_by_name: dict[str, list[CsvRow]] = {}
    for row in _parse_rows(file, report, encoding):
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
        claim = next((row.declared_size for row in rows if row.declared_size is not None), None)
        in_fractions = any(row.fractions is not None for row in rows)
        size = sizes.size(image, None if in_fractions else claim, (row.box for row in rows if row.label is not None))
        objects = tuple(_to_labeled_object(row, row.label, size) for row in rows if row.label is not None)
        labeled.append(LabeledImage(image, name, file, size, image_id, objects, claim))
    report_fractions(labeled, file, report, _FRACTIONS_HINT)
    return LabeledSet(tuple(labeled))


def _parse_rows(file: Path, report: Report, encoding: str | None) -> list[CsvRow]:
    """Return the rows that can be parsed, and report the others, and which columns were taken for what."""
    try:
        columns, numbered_rows = read_rows(file, encoding)
        attribute = class_attribute(file, columns, numbered_rows) if "shape" in columns.box else ""
    except UserError as error:
        report.add_error("damaged-annotation", file, "", error)
        return []
    if columns.note:
        report.note("dialect", file, "", f"{columns.note}{f'; the class is {attribute}' if attribute else ''}")
    rows = []
    for line, values in numbered_rows:
        try:
            is_region = "shape" in columns.box
            row = parse_region(file, line, columns, values, attribute) if is_region else None
            rows.append(row or parse_row(file, line, columns, values))
        except UserError as error:
            report.add_error("damaged-annotation", file, f"line {line}", error)
    return _name_classes(file, rows, report) if columns.in_fractions else rows


def _name_classes(file: Path, rows: Sequence[CsvRow], report: Report) -> list[CsvRow]:
    """Return OpenImages' rows with names of classes instead of machine ids, where a file beside it lists them."""
    names = read_descriptions(file.parent)
    if names:
        report.note("dialect", file, "LabelName", f"machine ids are named by the {len(names)} class descriptions")
    return [replace(row, label=names.get(row.label, row.label)) if row.label is not None else row for row in rows]


def read_rows(file: Path, encoding: str | None = None) -> tuple[CsvColumns, list[tuple[int, list[str]]]]:
    """Return the columns, and (line, values) of each row that is not empty. Raises UserError.

    encoding: of a file without a byte order mark; None for UTF-8.
    """
    text = read_label_text(file, "a CSV file of boxes", encoding)
    try:
        delimiter = max(",;\t", key=text.partition("\n")[0].count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        rows = [(reader.line_num, [value.strip() for value in row]) for row in reader if any(row)]
    except (csv.Error, ValueError) as error:
        raise UserError(f"{file}: expected rows {','.join(COLUMNS)}, found {error}") from None
    columns = parse_header(file, *rows[0]) if rows else None
    if columns is None:
        _refuse_other_order(file, [values for _, values in rows])
        return OWN_COLUMNS, rows
    return columns, rows[1:]


def _refuse_other_order(file: Path, rows: Sequence[Sequence[str]]) -> None:
    """Raise UserError if rows without a header fit the columns of a known tool and not COLUMNS.

    The values alone never reorder columns, because a number can be a label. The message has the line to write.
    """
    with_object = [row for row in rows if any(row[1:])]
    lengths = Counter(map(len, with_object))
    full = [row for row in with_object if len(row) == lengths.most_common(1)[0][0]]
    if not full or (len(full[0]) == len(COLUMNS) and all(_are_corners(row[2:]) for row in full)):
        return
    orders = [order for order in _ORDERS_WITHOUT_HEADER if all(_fits(order.split(","), row) for row in full)]
    if orders:
        expected = f"expected the columns {','.join(COLUMNS)}, found rows that fit {' or '.join(orders)}"
        raise UserError(f"{file}: line 1: {expected}: write that as the first line if it is what they are")


def _fits(order: Sequence[str], row: Sequence[str]) -> bool:
    """Return True if a row has as many values as an order of columns, and the numbers of a box and a size in theirs."""
    if len(row) != len(order):
        return False
    numbers = {name: parse_float(value) for name, value in zip(order, row, strict=True)}
    has_box = numbers["x1"] <= numbers["x2"] and numbers["y1"] <= numbers["y2"]
    return has_box and all(numbers[name] >= 1 for name in ("image_width", "image_height") if name in numbers)


def _are_corners(values: Sequence[str]) -> bool:
    """Return True if four texts are the numbers of a box with extent."""
    x1, y1, x2, y2 = map(parse_float, values)
    return x1 < x2 and y1 < y2


def _to_labeled_object(row: CsvRow, label: str, size: Size | None) -> LabeledObject:
    """Return the object of a row in an image of ``size`` (h, w), with the reason if its box is invalid.

    A box in fractions of an image that cannot be read stays in fractions, and is not judged.
    """
    box = row.box if row.fractions is None else parse_fractions(row.fractions, size or (1, 1))
    return LabeledObject(
        location=f"line {row.line}",
        name=label,
        box=box,
        invalid_reason=invalid_box_reason(box) or outside_reason(box, size),
        difficult=row.difficult,
        crowd=row.crowd,
        truncated=row.truncated,
        pose=row.pose,
    )
