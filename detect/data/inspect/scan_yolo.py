"""A YOLO folder, read to its end whatever is in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from detect.data.formats.numbers import number
from detect.data.formats.split_names import split_of
from detect.data.formats.yolo import YoloData, entry_place, images_at, label_file, read_data_file
from detect.data.formats.yolo_labels import YoloLine, parse_line, read_lines
from detect.data.images import UnreadableImage, read_header
from detect.data.inspect.findings import Finding
from detect.data.inspect.scan_records import Four, SeenImage, SeenObject, Survey
from detect.errors import UserError
from detect.types import Size

_UNKNOWN: Size = (1, 1)  # of an image that cannot be read; its boxes are not looked at


def read_yolo_survey(root: Path) -> Survey:
    """Every image of every split, and its labels. Raises UserError where data.yaml cannot be read."""
    data = read_data_file(root)
    findings: list[Finding] = []
    splits: dict[Path, set[str]] = defaultdict(set)
    for split, entries in data.splits.items():
        for entry in entries:
            for image in _images(data, split, entry, findings):
                splits[image] |= {role} if (role := split_of(split)) else set()
    findings += _without_image(splits, data.file.absolute())
    images = tuple(_image(image, frozenset(held), data, findings) for image, held in splits.items())
    return Survey("yolo", root, images, data.names, tuple(findings))


def _images(data: YoloData, split: str, entry: str, findings: list[Finding]) -> list[Path]:
    try:
        place = entry_place(data, split, entry)
        named = images_at(place, data.base)
    except (UserError, ValueError) as error:
        findings.append(Finding("damaged-annotation", str(data.file), split, str(error).removeprefix(f"{data.file}: ")))
        return []
    seen: set[Path] = set()
    for where, image in named:
        if image in seen:
            findings.append(Finding("repeated-id", str(place), where, f"{image.name} again"))
        seen.add(image)
    return list(dict.fromkeys(image for _, image in named))


def _without_image(images: Iterable[Path], names: Path) -> list[Finding]:
    """Label files that no image has, where labels have folders of their own; names: the file that lists the classes."""
    files = {label_file(image) for image in images}
    apart = {label_file(image).parent for image in images if label_file(image).parent != image.parent}
    strays = sorted(file for folder in apart for file in folder.glob("*.txt") if file not in files | {names})
    return [Finding("missing-image", str(file), "", "no image of that name") for file in strays]


def _image(image: Path, splits: frozenset[str], data: YoloData, findings: list[Finding]) -> SeenImage:
    """The image with the lines that can be read; findings for the others."""
    labels = label_file(image)
    try:
        size = read_header(image).size
    except UnreadableImage:
        size = _UNKNOWN
    if not labels.is_file() and size != _UNKNOWN:
        findings.append(Finding("unlabelled-image", str(image), "", f"no {labels}"))
    objects = []
    try:
        lines = read_lines(labels)
    except UserError as error:
        findings.append(Finding("damaged-annotation", str(labels), "", str(error).removeprefix(f"{labels}: ")))
        lines = []
    for place, text in lines:
        try:
            line = parse_line(labels, place, text, data.names)
        except UserError as error:
            where = f"line {place}"
            what = str(error).removeprefix(f"{labels}: {where}: ")
            kind = "unknown-id" if "expected a class" in what else "damaged-annotation"
            findings.append(Finding(kind, str(labels), where, what))
            continue
        objects.append(SeenObject(line.where, line.name, _written(line), line.box(size)))
    return SeenImage(image, labels, None, tuple(objects), splits)


def _written(line: YoloLine) -> Four:
    """``cx cy w h``; of a polygon those of the box around it."""
    if line.is_polygon:
        x1, y1, x2, y2 = line.box((1, 1))
        return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
    cx, cy, w, h = (number(field) for field in line.fields)
    return cx, cy, w, h
