"""The records of a COCO annotation file, one at a time, so that reader and inspector share what a record must hold."""

from __future__ import annotations

import json
import math
import numbers
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from detect.errors import UserError, nearest
from detect.files import existing_file
from detect.types import Size

_WORDS = {int: "an integer", float: "a number", str: "text", list: "a list"}


@dataclass(frozen=True)
class CocoCategory:
    """An id and its name."""

    id: int
    name: str


@dataclass(frozen=True)
class CocoImage:
    """name: a path inside the folder of the photos; size: (h, w), both above 0, None where
    neither is there."""

    id: int
    name: PurePosixPath
    size: Size | None


@dataclass(frozen=True)
class CocoObject:
    """where: ``annotation <id>``, or its 1-based place; corners: continuous ``x1 y1 x2 y2``, infinite where a number
    is too large for a float; area: the file's, None where it has none; outlined: whether there is a segmentation.

    ``difficult``, ``truncated`` and ``pose`` are VOC's, and not COCO's own keys; nor is ``corners``, which says
    ``x1 y1 x2 y2`` where ``bbox`` cannot: x + width has another last bit. `detect data convert` writes them.
    """

    where: str
    image_id: int
    category_id: int
    corners: tuple[float, float, float, float]
    crowd: bool
    area: float | None
    difficult: bool
    truncated: bool
    pose: str
    outlined: bool


def load_document(path: Path) -> dict[str, Any]:
    """The whole file. Raises UserError where it is missing or no JSON object."""
    try:
        document = json.loads(existing_file(path, "a COCO annotation file").read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: expected COCO JSON, found damaged JSON: {error}") from error
    if not isinstance(document, dict):
        raise UserError(
            f"{path}: expected COCO's object of images, annotations and categories, found another JSON value"
        )
    return document


def records(path: Path, document: dict[str, Any], name: str) -> list[Any]:
    """The list ``images``, ``categories`` or ``annotations``. Raises UserError."""
    found: list[Any] = _value(path, "top level", document, name, list)
    return found


def category(path: Path, place: int, record: Any) -> CocoCategory:
    """The category at a 1-based place. Raises UserError."""
    where = f"category {place}"
    return CocoCategory(_value(path, where, record, "id", int), _value(path, where, record, "name", str))


def image(path: Path, place: int, record: Any) -> CocoImage:
    """The image at a 1-based place. Raises UserError."""
    where = f"image {place}"
    number, name = _value(path, where, record, "id", int), file_name(path, place, record)
    inside = PurePosixPath(name.replace("\\", "/"))
    if inside.is_absolute() or ".." in inside.parts:
        raise UserError(f'{path}: {where}: "file_name": expected a path inside the images\' folder, found "{name}"')
    return CocoImage(number, inside, _size(path, where, record))


def _size(path: Path, where: str, record: dict[str, Any]) -> Size | None:
    if record.get("height") is None and record.get("width") is None:
        return None
    height, width = _value(path, where, record, "height", int), _value(path, where, record, "width", int)
    if height < 1 or width < 1:
        raise UserError(f"{path}: {where}: expected a height and width above 0, found {height} and {width}")
    return height, width


def file_name(path: Path, place: int, record: Any) -> str:
    """The file name of the image at a 1-based place, as it is written. Raises UserError."""
    return str(_value(path, f"image {place}", record, "file_name", str))


def object_record(path: Path, place: int, record: Any) -> CocoObject:
    """The annotation at a 1-based place; a missing ``iscrowd`` is 0. Raises UserError."""
    where = f"annotation {record['id']}" if isinstance(record, dict) and "id" in record else f"annotation {place}"
    image_id = _value(path, where, record, "image_id", int)
    category_id = _value(path, where, record, "category_id", int)
    corners = _corners(path, where, record)
    area = None if record.get("area") is None else float(_value(path, where, record, "area", float))
    return CocoObject(
        where=where,
        image_id=image_id,
        category_id=category_id,
        corners=corners,
        crowd=bool(record.get("iscrowd", 0)),
        area=area,
        difficult=bool(record.get("difficult", 0)),
        truncated=bool(record.get("truncated", 0)),
        pose=str(record.get("pose", "")),
        outlined=bool(record.get("segmentation")),
    )


def _value(path: Path, where: str, record: Any, name: str, kind: type) -> Any:
    """``record[name]``, or a UserError where it is missing or not of ``kind``."""
    if not isinstance(record, dict):
        raise UserError(f"{path}: {where}: expected an object, found {json.dumps(record)[:40]}")
    if name not in record:
        raise UserError(f'{path}: {where}: expected "{name}", found nothing{nearest(name, record)}')
    value = record[name]
    wanted = numbers.Real if kind is float else kind
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise UserError(f'{path}: {where}: "{name}": expected {_WORDS[kind]}, found {json.dumps(value)[:40]}')
    return value


def _corners(path: Path, where: str, record: dict[str, Any]) -> tuple[float, float, float, float]:
    x, y, width, height = _four_numbers(path, where, "bbox", record)
    if record.get("corners") is not None:
        x1, y1, x2, y2 = _four_numbers(path, where, "corners", record)
        if (x1, y1, x2 - x1, y2 - y1) == (x, y, width, height):  # else bbox was edited since
            return x1, y1, x2, y2
    return x, y, x + width, y + height


def _four_numbers(path: Path, where: str, name: str, record: dict[str, Any]) -> tuple[float, float, float, float]:
    values = _value(path, where, record, name, list)
    if len(values) != 4 or not all(isinstance(value, (int, float)) for value in values):
        raise UserError(f'{path}: {where}: "{name}": expected 4 numbers, found {json.dumps(values)[:60]}')
    first, second, third, fourth = (float(value) if abs(value) < 1e300 else math.inf for value in values)
    return first, second, third, fourth
