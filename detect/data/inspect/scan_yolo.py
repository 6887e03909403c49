"""Scans a YOLO folder to its end, whatever faults it contains."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from detect.data.formats.numbers import parse_float
from detect.data.formats.split_names import guess_split
from detect.data.formats.yolo import YoloData, label_file, list_images, read_data_file, resolve_entry
from detect.data.formats.yolo_labels import YoloLine, parse_line, read_lines
from detect.data.images import UnreadableImage, read_header
from detect.data.inspect.findings import DatasetFinding
from detect.data.inspect.scan_records import FolderScan, FourFloats, RawImage, RawObject
from detect.errors import UserError
from detect.types import Size

_UNKNOWN_SIZE: Size = (1, 1)  # of an image that cannot be read; its boxes are not checked


def scan_yolo(root: Path) -> FolderScan:
    """Return every image of every split with its labels. Raises UserError if data.yaml cannot be read."""
    data = read_data_file(root)
    findings: list[DatasetFinding] = []
    splits: dict[Path, set[str]] = defaultdict(set)
    for split, entries in data.splits.items():
        for entry in entries:
            for image in _list_split(data, split, entry, findings):
                splits[image] |= {role} if (role := guess_split(split)) else set()
    findings += _labels_without_image(splits, data.file.absolute())
    images = tuple(_scan_image(image, frozenset(roles), data, findings) for image, roles in splits.items())
    return FolderScan("yolo", root, images, data.names, tuple(findings))


def _list_split(data: YoloData, split: str, entry: str, findings: list[DatasetFinding]) -> list[Path]:
    try:
        path = resolve_entry(data, split, entry)
        listed = list_images(path, data.base_folder)
    except (UserError, ValueError) as error:
        findings.append(
            DatasetFinding("damaged-annotation", str(data.file), split, str(error).removeprefix(f"{data.file}: "))
        )
        return []
    images: dict[Path, None] = {}
    for location, image in listed:
        if image in images:
            findings.append(DatasetFinding("repeated-id", str(path), location, f"{image.name} again"))
        images[image] = None
    return list(images)


def _labels_without_image(images: Iterable[Path], class_file: Path) -> list[DatasetFinding]:
    """Return a finding for each label file without an image, in folders that hold labels only.

    class_file: the file that lists the classes, which is no label file.
    """
    files = {label_file(image) for image in images}
    label_folders = {label_file(image).parent for image in images if label_file(image).parent != image.parent}
    unmatched = sorted(
        file for folder in label_folders for file in folder.glob("*.txt") if file not in files | {class_file}
    )
    return [DatasetFinding("missing-image", str(file), "", "no image with that name") for file in unmatched]


def _scan_image(image: Path, splits: frozenset[str], data: YoloData, findings: list[DatasetFinding]) -> RawImage:
    """Return the image with the lines that can be parsed, and append a finding for each of the others."""
    labels = label_file(image)
    try:
        size = read_header(image).size
    except UnreadableImage:
        size = _UNKNOWN_SIZE
    if not labels.is_file() and size != _UNKNOWN_SIZE:
        findings.append(DatasetFinding("unlabelled-image", str(image), "", f"no {labels}"))
    objects = []
    try:
        lines = read_lines(labels)
    except UserError as error:
        findings.append(DatasetFinding("damaged-annotation", str(labels), "", str(error).removeprefix(f"{labels}: ")))
        lines = []
    for line_number, text in lines:
        try:
            line = parse_line(labels, line_number, text, data.names)
        except UserError as error:
            location = f"line {line_number}"
            message = str(error).removeprefix(f"{labels}: {location}: ")
            kind = "unknown-id" if "expected a class" in message else "damaged-annotation"
            findings.append(DatasetFinding(kind, str(labels), location, message))
            continue
        objects.append(RawObject(line.location, line.name, _raw_numbers(line), line.box(size)))
    return RawImage(image, labels, None, tuple(objects), splits)


def _raw_numbers(line: YoloLine) -> FourFloats:
    """Return ``cx cy w h`` of a box, or of the box around a polygon."""
    if line.is_polygon:
        x1, y1, x2, y2 = line.box((1, 1))
        return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
    cx, cy, w, h = (parse_float(field) for field in line.fields)
    return cx, cy, w, h
