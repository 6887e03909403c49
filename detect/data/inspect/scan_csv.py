"""Scans CSV files of boxes to their end, whatever faults they contain."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

from detect.data.formats.csv_files import CsvRow, parse_row, read_rows
from detect.data.formats.detect_format import csv_files
from detect.data.formats.split_names import guess_split
from detect.data.images import is_image
from detect.data.inspect.findings import DatasetFinding
from detect.data.inspect.scan_records import FolderScan, RawImage, RawObject
from detect.data.sources import image_folders
from detect.errors import UserError
from detect.system.files import require_folder


def scan_csv(root: Path, images: Path | None = None) -> FolderScan:
    """Return the content of every CSV file in ``root``, and of the folders of the images that they name.

    images: the folder of the images; None takes the likely folder with most of them. Raises UserError if there is no
    CSV file.
    """
    files = csv_files(require_folder(root, "a folder with CSV files of boxes"))
    if not files:
        raise UserError(f"{root}: expected a CSV file of boxes in it, found none")
    findings: list[DatasetFinding] = []
    image_files = [image_file for file in files for image_file in _scan_file(file, root, images, findings)]
    named = {image.file for image in image_files}
    files_beside = {file for folder in {image.parent for image in named} for file in folder.glob("*")}
    for file in sorted(file for file in files_beside if is_image(file) and file not in named):
        findings.append(DatasetFinding("unlabelled-image", str(file), "", "in no CSV file"))
    return FolderScan("csv", root, tuple(image_files), None, tuple(findings))


def _scan_file(file: Path, root: Path, images: Path | None, findings: list[DatasetFinding]) -> list[RawImage]:
    objects: dict[str, list[RawObject]] = defaultdict(list)
    for row in _read_rows(file, findings):
        objects[row.file] += [] if row.label is None else [_to_raw_object(row, row.label)]
    counts = Counter(
        {folder: sum((folder / name).is_file() for name in objects) for folder in image_folders(root, file, None)}
    )
    folder = (images or counts.most_common(1)[0][0]).absolute()
    split = guess_split(file.stem)
    splits = frozenset([split] if split else [])
    return [
        RawImage(folder / name, file, None, tuple(image_objects), splits) for name, image_objects in objects.items()
    ]


def _read_rows(file: Path, findings: list[DatasetFinding]) -> list[CsvRow]:
    """Return the rows that can be parsed, and append a finding for each of the others."""
    try:
        columns, raw_rows = read_rows(file)
    except UserError as error:
        findings.append(DatasetFinding("damaged-annotation", str(file), "", str(error).removeprefix(f"{file}: ")))
        return []
    rows = []
    for line, fields in raw_rows:
        try:
            rows.append(parse_row(file, line, columns, fields))
        except UserError as error:
            location = f"line {line}"
            message = str(error).removeprefix(f"{file}: {location}: ")
            findings.append(DatasetFinding("damaged-annotation", str(file), location, message))
    return rows


def _to_raw_object(row: CsvRow, label: str) -> RawObject:
    return RawObject(f"line {row.line}", label, row.box, row.box, row.difficult, row.crowd)
