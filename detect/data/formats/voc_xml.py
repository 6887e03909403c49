"""Parses one VOC annotation file without dropping anything, so that the reader and the inspector share it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from detect.data.formats.numbers import parse_float, parse_minus_one
from detect.errors import UserError
from detect.system.files import require_file
from detect.types import Size

UNSPECIFIED = "Unspecified"  # a pose
_CVAT = "annotations"  # CVAT's file and its first element; VOC's is "annotation"
_HEAD = 1000  # bytes: only a declaration comes before the first element
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class VocObject:
    """One <object>. Its parts are ignored.

    index: from 1; name: without blanks around it, empty where there is none; corners: the file's own numbers, 1-based
    and inclusive, NaN where one is missing or no number; box: continuous 0-based ``x1 y1 x2 y2``; complete: True if all
    four are present; crowd: <iscrowd>, which `detect data convert` writes for COCO's; pose: empty where unspecified.
    """

    index: int
    name: str
    corners: tuple[float, float, float, float]
    box: tuple[float, float, float, float]
    complete: bool
    difficult: bool
    crowd: bool
    truncated: bool
    pose: str


@dataclass(frozen=True)
class VocAnnotation:
    """The content of the file. size: (h, w) in the file; None if it is missing or impossible (old exports write 0)."""

    size: Size | None
    objects: tuple[VocObject, ...]


def read_annotation(xml: Path) -> VocAnnotation:
    """Return the content of an XML file. Entities are never expanded.

    Raises UserError if the file is missing, is no XML, or is CVAT's own.
    """
    content = require_file(xml, f"the annotation of image {xml.stem}").read_bytes()
    try:
        tree: Element = fromstring(content)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise UserError(f"{xml}: expected a VOC annotation, found damaged XML: {error}") from error
    if tree.tag == _CVAT:
        raise UserError(_cvat_message(xml))
    return VocAnnotation(
        _parse_size(tree),
        tuple(_parse_object(index, element) for index, element in enumerate(tree.findall("object"), start=1)),
    )


def refuse_cvat(root: Path) -> None:
    """Raise UserError if ``root`` contains CVAT's own file of all images, annotations.xml, which is not VOC."""
    file = root / f"{_CVAT}.xml"
    if file.is_file():
        with file.open("rb") as stream:
            if f"<{_CVAT}>".encode() in stream.read(_HEAD):
                raise UserError(_cvat_message(file))


def _cvat_message(file: Path) -> str:
    """Return the message for a file in CVAT's own XML."""
    return f"{file}: expected a VOC annotation, found CVAT's own XML: export from CVAT as Pascal VOC or COCO"


def _parse_size(tree: Element) -> Size | None:
    """Return the (h, w) in the file; None if it is missing or impossible."""
    height, width = parse_float(tree.findtext("size/height")), parse_float(tree.findtext("size/width"))
    return (int(height), int(width)) if 1 <= height < 1e9 and 1 <= width < 1e9 else None


def _parse_object(index: int, element: Element) -> VocObject:
    """Return the object of an <object> element; index: from 1."""
    texts = [element.findtext(f"bndbox/{corner}") for corner in _CORNERS]
    x1, y1, x2, y2 = (parse_float(text) for text in texts)
    pose = (element.findtext("pose") or "").strip()
    return VocObject(
        index=index,
        name=(element.findtext("name") or "").strip(),
        corners=(x1, y1, x2, y2),
        box=(parse_minus_one(texts[0]), parse_minus_one(texts[1]), x2, y2),
        complete=None not in texts,
        difficult=_parse_flag(element, "difficult"),
        crowd=_parse_flag(element, "iscrowd"),
        truncated=_parse_flag(element, "truncated"),
        pose="" if pose == UNSPECIFIED else pose,
    )


def _parse_flag(element: Element, tag: str) -> bool:
    """Return True if the element's ``tag`` is 1."""
    return parse_float(element.findtext(tag)) == 1
