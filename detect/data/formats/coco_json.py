"""Parses single records of a COCO annotation file."""

from __future__ import annotations

import contextlib
import json
import math
import numbers
import re
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from detect.data.formats.label_text import class_name
from detect.data.formats.turned_boxes import around_turned, is_turned
from detect.errors import UserError, did_you_mean, shorten
from detect.system.files import read_json_file, require_file

if TYPE_CHECKING:  # types.py imports torch, which tools/eval_coco.py does not need
    from detect.types import Size

_MAX_SIDE = 10**9  # pixels: a side fits into 32 bits
_MAX_NUMBER = 1e300  # JSON has integers that are too large for a float
_NUMBER_TYPES = frozenset({int, float})  # those of JSON; a bool, which is an int to isinstance, is none
_FILE_NAME = re.compile(rb'"file_name"\s*:\s*("(?:[^"\\]|\\.)*")')
_TYPE_NAMES = {int: "an integer", float: "a number", str: "text", list: "a list"}


@dataclass(frozen=True)
class CocoCategory:
    """The id and the name of a category; supercategory: of the group that it belongs to, empty where it has none."""

    id: int
    name: str
    supercategory: str = ""


@dataclass(frozen=True)
class CocoImage:
    """The record of an image.

    name: a path inside the folder of the images; size: (h, w), both above 0; None where the record has neither;
    is_moved: True if the file names a path outside the folder, of which ``name`` is the end.
    """

    id: int
    name: PurePosixPath
    size: Size | None
    is_moved: bool = False


@dataclass(frozen=True)
class CocoAnnotation:
    """The record of an object, which COCO calls an annotation.

    location: ``annotation <id>``, or its index from 1 where it has no id; corners: continuous ``x1 y1 x2 y2``, infinite
    where a number is too large for a float; area: the file's, None where it has none; segmentation: as the file has
    it, unchecked; id: whole numbers as they are, anything else as text, None where it has none; turned: True if the
    corners are those around ``bbox`` turned by CVAT's ``attributes.rotation`` in degrees (docs.cvat.ai, "COCO").

    ``difficult``, ``truncated``, ``occluded`` and ``pose`` are VOC's, and not COCO's own keys. ``corners`` is not
    COCO's own either: it holds ``x1 y1 x2 y2`` where ``bbox`` cannot, because the last bit of x + width differs.
    `detect data convert` writes these keys.
    """

    location: str
    image_id: int
    category_id: int
    corners: tuple[float, float, float, float]
    crowd: bool
    area: float | None
    difficult: bool
    truncated: bool
    pose: str
    segmentation: Any
    id: int | str | None
    turned: bool = False
    occluded: bool = False

    @property
    def has_mask(self) -> bool:
        """Return True if the record has a segmentation."""
        return bool(self.segmentation)


def load_document(path: Path) -> dict[str, Any]:
    """Return the content of the file. Raises UserError where it is missing or no JSON object."""
    document = read_json_file(path, "a COCO annotation file")
    if isinstance(document, list) and document and isinstance(document[0], dict) and "image_id" in document[0]:
        expected = "expected COCO's object of images, annotations and categories, found a list of detections"
        raise UserError(f"{path}: {expected}, which are no labels: give the file that the images were labelled in")
    if not isinstance(document, dict):
        raise UserError(
            f"{path}: expected COCO's object of images, annotations and categories, found another JSON value"
        )
    annotations = document.get("annotations")
    first = annotations[0] if isinstance(annotations, list) and annotations else None
    if isinstance(first, dict) and "segments_info" in first and "bbox" not in first:
        raise UserError(f"{path}: expected COCO's boxes, found panoptic segments: use the file of its instances")
    return document


def unparsed_images(document: dict[str, Any], parsed: Container[int]) -> dict[Any, str]:
    """Return the file name of each image that has an id which is not among the ``parsed`` ones."""
    entries = document.get("images")
    records = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return {
        record["id"]: str(record.get("file_name"))
        for record in records
        if isinstance(record.get("id"), int) and record["id"] not in parsed
    }


def listed_names(path: Path) -> list[PurePosixPath]:
    """Return the ``file_name`` of every image in an annotation file, each once, by a search in its text.

    Only names that can be paths inside the folder of images are among them. Raises UserError.
    """
    names: dict[PurePosixPath, None] = {}
    for quoted in _FILE_NAME.findall(require_file(path, "a COCO annotation file").read_bytes()):
        with contextlib.suppress(ValueError):  # no text in UTF-8, or an invalid escape
            name = PurePosixPath(json.loads(quoted.decode("utf-8")).replace("\\", "/"))
            if not name.is_absolute() and ".." not in name.parts:
                names[name] = None
    return list(names)


def get_records(path: Path, document: dict[str, Any], name: str) -> list[Any]:
    """Return the list ``images``, ``categories`` or ``annotations`` of the document. Raises UserError."""
    records: list[Any] = _require(path, "top level", document, name, list)
    return records


def parse_category(path: Path, index: int, record: Any) -> CocoCategory:
    """Parse a category; index: its position in the file from 1, for messages. Raises UserError."""
    location = f"category {index}"
    category_id, name = parse_id(path, location, record, "id"), _require(path, location, record, "name", str)
    supercategory = record.get("supercategory")
    return CocoCategory(category_id, class_name(name), supercategory if isinstance(supercategory, str) else "")


def parse_image(path: Path, index: int, record: Any) -> CocoImage:
    """Parse an image; index: its position in the file from 1, for messages. Raises UserError."""
    location = f"image {index}"
    image_id, name = parse_id(path, location, record, "id"), parse_file_name(path, index, record)
    written = PurePosixPath(name.replace("\\", "/").rpartition("?d=")[2])  # Label Studio: /data/local-files/?d=a.jpg
    inside = [part for part in written.parts if part not in ("/", "//", "..") and not part.endswith(":")]
    if not inside:
        raise UserError(f'{path}: {location}: "file_name": expected a path inside the images\' folder, found "{name}"')
    is_moved = len(inside) < len(written.parts) or "?d=" in name
    return CocoImage(image_id, PurePosixPath(*inside), _parse_size(path, location, record), is_moved)


def _parse_size(path: Path, location: str, record: dict[str, Any]) -> Size | None:
    """Return the (h, w) of an image; None where both are missing."""
    if record.get("height") is None and record.get("width") is None:
        return None
    height, width = (_require_integer(path, location, record, name) for name in ("height", "width"))
    if not (0 < height < _MAX_SIDE and 0 < width < _MAX_SIDE):
        sizes = f"{shorten(height)} and {shorten(width)}"
        raise UserError(f"{path}: {location}: expected a height and width above 0 and below 10 ** 9, found {sizes}")
    return height, width


def parse_file_name(path: Path, index: int, record: Any) -> str:
    """Return the file name of an image, unchanged; index: its position from 1. Raises UserError."""
    return str(_require(path, f"image {index}", record, "file_name", str))


def parse_annotation(path: Path, index: int, record: Any) -> CocoAnnotation:
    """Parse an annotation; index: its position from 1. A missing ``iscrowd`` is 0. Raises UserError."""
    identifier = _raw_id(record) if isinstance(record, dict) else None
    location = f"annotation {index if identifier is None else identifier}"
    image_id = parse_id(path, location, record, "image_id")
    category_id = parse_id(path, location, record, "category_id")
    corners = _parse_corners(path, location, record)
    degrees = _rotation(record) if "attributes" in record else 0.0
    turned = degrees != 0 and is_turned(degrees)
    if turned:
        x1, y1, x2, y2 = corners
        corners = around_turned((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, math.radians(degrees))
    area = None if record.get("area") is None else _require(path, location, record, "area", float)
    if area is not None and not 0 <= area < _MAX_NUMBER:
        raise UserError(f'{path}: {location}: "area": expected square pixels, found {shorten(area)}')
    return CocoAnnotation(
        location=location,
        image_id=image_id,
        category_id=category_id,
        corners=corners,
        crowd=_parse_flag(path, location, record, "iscrowd"),
        area=None if area is None else float(area),
        difficult=_parse_flag(path, location, record, "difficult"),
        truncated=_parse_flag(path, location, record, "truncated"),
        pose=str(record.get("pose", "")),
        segmentation=record.get("segmentation"),
        id=identifier,
        turned=turned,
        occluded=_parse_flag(path, location, record, "occluded"),
    )


def count_ignored(document: dict[str, Any]) -> int:
    """Return the number of annotations with ``"ignore": 1`` that are no crowds.

    To pycocotools they are objects as any other: its ``COCOeval._prepare`` overwrites ``ignore`` by ``iscrowd``.
    """
    records = document.get("annotations")
    listed = records if isinstance(records, list) else ()
    marked = (record for record in listed if isinstance(record, dict) and "ignore" in record)
    return sum(bool(record["ignore"]) and not record.get("iscrowd") for record in marked)


def _rotation(record: dict[str, Any]) -> float:
    """Return the degrees of CVAT's attribute ``rotation``; 0 without such a number."""
    attributes = record["attributes"]
    degrees = attributes.get("rotation") if isinstance(attributes, dict) else None
    return float(degrees) if isinstance(degrees, int | float) and abs(degrees) < _MAX_NUMBER else 0.0


def id_warning(records: Sequence[Mapping[str, Any]]) -> str | None:
    """Return a line about annotation ids with which pycocotools' metrics are others than ours; None without such ids.

    Its ``evaluateImg`` stores the id of the box that a detection matched, and reads 0 as "none"; its ``loadAnns`` looks
    records up by their id, and of several with one id it has the last alone.
    """
    counts = Counter(record["id"] for record in records if isinstance(record.get("id"), int))
    repeated = sum(count for count in counts.values() if count > 1)
    causes = ["pycocotools never counts the box with the id 0 as found"] if counts[0] else []
    causes += [f"of {repeated} boxes that share an id, it reads only the last of each id"] if repeated else []
    return f"annotation ids: {'; '.join(causes)}; its metrics equal these with ids from 1 on" if causes else None


def _raw_id(record: dict[str, Any]) -> int | str | None:
    """Return the id of an annotation, which nothing here refers to, whatever its type."""
    identifier = record.get("id")
    return identifier if identifier is None or type(identifier) is int else shorten(identifier)


def _require(path: Path, location: str, record: Any, name: str, kind: type) -> Any:
    """Return ``record[name]``. Raises UserError where it is missing or not of ``kind``."""
    if not isinstance(record, dict):
        raise UserError(f"{path}: {location}: expected an object, found {shorten(record)}")
    if name not in record:
        raise UserError(f'{path}: {location}: expected "{name}", found nothing{did_you_mean(name, record)}')
    value = record[name]
    expected_type = numbers.Real if kind is float else kind
    if not isinstance(value, expected_type) or isinstance(value, bool):
        raise UserError(f'{path}: {location}: "{name}": expected {_TYPE_NAMES[kind]}, found {shorten(value)}')
    return value


def parse_id(path: Path, location: str, record: Any, name: str) -> int:
    """Return an integer of at most 64 bits; 96.0 is one. Raises UserError."""
    identifier = _require_integer(path, location, record, name)
    if not -(2**63) <= identifier < 2**63:
        raise UserError(f'{path}: {location}: "{name}": expected an integer of 64 bits, found {shorten(identifier)}')
    return identifier


def _require_integer(path: Path, location: str, record: Any, name: str) -> int:
    """Return a whole number; 96.0 is one, as tools write it that read ids from a table. Raises UserError."""
    number = record.get(name) if isinstance(record, dict) else None
    if type(number) is int:
        return number
    if isinstance(number, float) and number.is_integer():
        return int(number)
    integer: int = _require(path, location, record, name, int)
    return integer


def _parse_flag(path: Path, location: str, record: dict[str, Any], name: str) -> bool:
    """Return 0 or 1, or false or true, as a bool; a missing or null flag is False."""
    value = record.get(name) or 0
    if value not in (0, 1):
        raise UserError(f'{path}: {location}: "{name}": expected 0 or 1, found {shorten(value)}')
    return bool(value)


def _parse_corners(path: Path, location: str, record: dict[str, Any]) -> tuple[float, float, float, float]:
    """Return the continuous x1 y1 x2 y2 of ``corners`` where they agree with ``bbox``, else those of ``bbox``."""
    x, y, width, height = _parse_four_numbers(path, location, "bbox", record)
    if record.get("corners") is not None:
        x1, y1, x2, y2 = _parse_four_numbers(path, location, "corners", record)
        if (x1, y1, x2 - x1, y2 - y1) == (x, y, width, height):  # otherwise bbox was edited later
            return x1, y1, x2, y2
    return x, y, x + width, y + height


def _parse_four_numbers(
    path: Path, location: str, name: str, record: dict[str, Any]
) -> tuple[float, float, float, float]:
    """Return a list of four numbers as floats; infinite where a number is too large for a float."""
    values = record.get(name)
    if type(values) is not list:
        values = _require(path, location, record, name, list)
    if len(values) != 4 or not _NUMBER_TYPES.issuperset(map(type, values)):
        raise UserError(f'{path}: {location}: "{name}": expected 4 numbers, found {shorten(values)}')
    first, second, third, fourth = (float(value) if abs(value) < _MAX_NUMBER else math.inf for value in values)
    return first, second, third, fourth
