"""The records of a COCO annotation file, one at a time, so that reader and inspector share what a record must hold."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from detect.errors import UserError, nearest, told
from detect.system.files import read_json_file

if TYPE_CHECKING:  # types.py imports torch, which tools/eval_coco.py does not need
    from detect.types import Size

_TOO_WIDE = 10**9  # pixels: a side fits into 32 bits
_TOO_LARGE = 1e300  # JSON has integers that no float holds
_WORDS = {int: "an integer", float: "a number", str: "text", list: "a list"}


@dataclass(frozen=True)
class CocoCategory:
    """An id and its name."""

    id: int
    name: str


@dataclass(frozen=True)
class CocoImage:
    """name: a path inside the folder of the images; size: (h, w), both above 0, None where
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
    document = read_json_file(path, "a COCO annotation file")
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
    return CocoCategory(identifier(path, where, record, "id"), _value(path, where, record, "name", str))


def image(path: Path, place: int, record: Any) -> CocoImage:
    """The image at a 1-based place. Raises UserError."""
    where = f"image {place}"
    number, name = identifier(path, where, record, "id"), file_name(path, place, record)
    inside = PurePosixPath(name.replace("\\", "/"))
    if inside.is_absolute() or ".." in inside.parts:
        raise UserError(f'{path}: {where}: "file_name": expected a path inside the images\' folder, found "{name}"')
    return CocoImage(number, inside, _size(path, where, record))


def _size(path: Path, where: str, record: dict[str, Any]) -> Size | None:
    if record.get("height") is None and record.get("width") is None:
        return None
    height, width = _value(path, where, record, "height", int), _value(path, where, record, "width", int)
    if not (0 < height < _TOO_WIDE and 0 < width < _TOO_WIDE):
        found = f"{told(height)} and {told(width)}"
        raise UserError(f"{path}: {where}: expected a height and width above 0 and below 10 ** 9, found {found}")
    return height, width


def file_name(path: Path, place: int, record: Any) -> str:
    """The file name of the image at a 1-based place, as it is written. Raises UserError."""
    return str(_value(path, f"image {place}", record, "file_name", str))


def object_record(path: Path, place: int, record: Any) -> CocoObject:
    """The annotation at a 1-based place; a missing ``iscrowd`` is 0. Raises UserError."""
    where = f"annotation {told(record['id']) if isinstance(record, dict) and 'id' in record else place}"
    image_id = identifier(path, where, record, "image_id")
    category_id = identifier(path, where, record, "category_id")
    corners = _corners(path, where, record)
    area = None if record.get("area") is None else _value(path, where, record, "area", float)
    if area is not None and not 0 <= area < _TOO_LARGE:
        raise UserError(f'{path}: {where}: "area": expected square pixels, found {told(area)}')
    return CocoObject(
        where=where,
        image_id=image_id,
        category_id=category_id,
        corners=corners,
        crowd=_mark(path, where, record, "iscrowd"),
        area=None if area is None else float(area),
        difficult=_mark(path, where, record, "difficult"),
        truncated=_mark(path, where, record, "truncated"),
        pose=str(record.get("pose", "")),
        outlined=bool(record.get("segmentation")),
    )


def _value(path: Path, where: str, record: Any, name: str, kind: type) -> Any:
    """``record[name]``, or a UserError where it is missing or not of ``kind``."""
    if not isinstance(record, dict):
        raise UserError(f"{path}: {where}: expected an object, found {told(record)}")
    if name not in record:
        raise UserError(f'{path}: {where}: expected "{name}", found nothing{nearest(name, record)}')
    value = record[name]
    wanted = numbers.Real if kind is float else kind
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise UserError(f'{path}: {where}: "{name}": expected {_WORDS[kind]}, found {told(value)}')
    return value


def identifier(path: Path, where: str, record: Any, name: str) -> int:
    """An integer of at most 64 bits. Raises UserError."""
    number: int = _value(path, where, record, name, int)
    if not -(2**63) <= number < 2**63:
        raise UserError(f'{path}: {where}: "{name}": expected an integer of 64 bits, found {told(number)}')
    return number


def _mark(path: Path, where: str, record: dict[str, Any], name: str) -> bool:
    """0 or 1, false or true; 0 where it is missing or null."""
    value = record.get(name) or 0
    if value not in (0, 1):
        raise UserError(f'{path}: {where}: "{name}": expected 0 or 1, found {told(value)}')
    return bool(value)


def _corners(path: Path, where: str, record: dict[str, Any]) -> tuple[float, float, float, float]:
    x, y, width, height = _four_numbers(path, where, "bbox", record)
    if record.get("corners") is not None:
        x1, y1, x2, y2 = _four_numbers(path, where, "corners", record)
        if (x1, y1, x2 - x1, y2 - y1) == (x, y, width, height):  # else bbox was edited since
            return x1, y1, x2, y2
    return x, y, x + width, y + height


def _four_numbers(path: Path, where: str, name: str, record: dict[str, Any]) -> tuple[float, float, float, float]:
    values = _value(path, where, record, name, list)
    if len(values) != 4 or not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise UserError(f'{path}: {where}: "{name}": expected 4 numbers, found {told(values)}')
    first, second, third, fourth = (float(value) if abs(value) < _TOO_LARGE else math.inf for value in values)
    return first, second, third, fourth
