"""CSV files of boxes, read to their end whatever is in them."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

from detect.data.formats.csv_files import CsvRow, parse_row, read_table
from detect.data.formats.detect_format import csv_files
from detect.data.formats.split_names import split_of
from detect.data.images import is_image
from detect.data.inspect.findings import Finding
from detect.data.inspect.scan_records import SeenImage, SeenObject, Survey
from detect.data.sources import image_folders
from detect.errors import UserError
from detect.system.files import existing_folder


def read_csv_survey(root: Path, images: Path | None = None) -> Survey:
    """Every CSV file in ``root``, and every image in the folders of those that they name.

    images: the folder of the images; None: the likely folder that holds most of them. Raises UserError.
    """
    files = csv_files(existing_folder(root, "a folder with CSV files of boxes"))
    if not files:
        raise UserError(f"{root}: expected a CSV file of boxes in it, found none")
    findings: list[Finding] = []
    image_files = [image_file for file in files for image_file in _images(file, root, images, findings)]
    named = {image.image for image in image_files}
    beside = {file for folder in {image.parent for image in named} for file in folder.glob("*")}
    for file in sorted(file for file in beside if is_image(file) and file not in named):
        findings.append(Finding("unlabelled-image", str(file), "", "in no CSV file"))
    return Survey("csv", root, tuple(image_files), None, tuple(findings))


def _images(file: Path, root: Path, images: Path | None, findings: list[Finding]) -> list[SeenImage]:
    objects: dict[str, list[SeenObject]] = defaultdict(list)
    for row in _rows(file, findings):
        objects[row.file] += [] if row.label is None else [_object(row, row.label)]
    held = Counter(
        {folder: sum((folder / name).is_file() for name in objects) for folder in image_folders(root, file, None)}
    )
    folder = (images or held.most_common(1)[0][0]).absolute()
    split = split_of(file.stem)
    splits = frozenset([split] if split else [])
    return [SeenImage(folder / name, file, None, tuple(found), splits) for name, found in objects.items()]


def _rows(file: Path, findings: list[Finding]) -> list[CsvRow]:
    """The rows that can be read; findings for the others."""
    try:
        columns, written = read_table(file)
    except UserError as error:
        findings.append(Finding("damaged-annotation", str(file), "", str(error).removeprefix(f"{file}: ")))
        return []
    rows = []
    for line, values in written:
        try:
            rows.append(parse_row(file, line, columns, values))
        except UserError as error:
            where = f"line {line}"
            what = str(error).removeprefix(f"{file}: {where}: ")
            findings.append(Finding("damaged-annotation", str(file), where, what))
    return rows


def _object(row: CsvRow, label: str) -> SeenObject:
    return SeenObject(f"line {row.line}", label, row.box, row.box, row.difficult, row.crowd)
