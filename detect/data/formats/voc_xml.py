"""One VOC annotation file, as it is written: nothing is judged or left out, so that reader and inspector share it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from detect.data.formats.numbers import minus_one, number
from detect.errors import UserError
from detect.system.files import existing_file
from detect.types import Size

UNSPECIFIED = "Unspecified"  # a pose
_CVAT = "annotations"  # CVAT's file and its first element; VOC's is "annotation"
_HEAD = 1000  # bytes: nothing but a declaration comes before the first element
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class VocObject:
    """One <object>. Its parts are ignored.

    place: 1-based; name: without blanks around it, empty where there is none; corners: the file's own numbers, 1-based
    and inclusive, NaN where one is missing or no number; box: continuous 0-based ``x1 y1 x2 y2``; complete: whether all
    four are there; crowd: <iscrowd>, which `detect data convert` writes for COCO's; pose: empty where unspecified.
    """

    place: int
    name: str
    corners: tuple[float, float, float, float]
    box: tuple[float, float, float, float]
    complete: bool
    difficult: bool
    crowd: bool
    truncated: bool
    pose: str


@dataclass(frozen=True)
class VocPage:
    """size: as the file gives it; None where it is missing or nonsense (old exports write 0)."""

    size: Size | None
    objects: tuple[VocObject, ...]


def read_page(xml: Path) -> VocPage:
    """Raises UserError where the file is missing, no XML or CVAT's own; entities are never expanded."""
    content = existing_file(xml, f"the annotation of image {xml.stem}").read_bytes()
    try:
        tree: Element = fromstring(content)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise UserError(f"{xml}: expected a VOC annotation, found damaged XML: {error}") from error
    if tree.tag == _CVAT:
        raise UserError(_of_cvat(xml))
    return VocPage(_size(tree), tuple(_object(place, one) for place, one in enumerate(tree.findall("object"), start=1)))


def refuse_cvat(root: Path) -> None:
    """Raise UserError where ``root`` holds CVAT's own file of all images, annotations.xml: it is none of VOC's."""
    file = root / f"{_CVAT}.xml"
    if file.is_file():
        with file.open("rb") as stream:
            if f"<{_CVAT}>".encode() in stream.read(_HEAD):
                raise UserError(_of_cvat(file))


def _of_cvat(file: Path) -> str:
    return f"{file}: expected a VOC annotation, found CVAT's own XML: export from CVAT as Pascal VOC or COCO"


def _size(tree: Element) -> Size | None:
    height, width = number(tree.findtext("size/height")), number(tree.findtext("size/width"))
    return (int(height), int(width)) if 1 <= height < 1e9 and 1 <= width < 1e9 else None


def _object(place: int, element: Element) -> VocObject:
    texts = [element.findtext(f"bndbox/{corner}") for corner in _CORNERS]
    x1, y1, x2, y2 = (number(text) for text in texts)
    pose = (element.findtext("pose") or "").strip()
    return VocObject(
        place=place,
        name=(element.findtext("name") or "").strip(),
        corners=(x1, y1, x2, y2),
        box=(minus_one(texts[0]), minus_one(texts[1]), x2, y2),
        complete=None not in texts,
        difficult=_marked(element, "difficult"),
        crowd=_marked(element, "iscrowd"),
        truncated=_marked(element, "truncated"),
        pose="" if pose == UNSPECIFIED else pose,
    )


def _marked(element: Element, tag: str) -> bool:
    return number(element.findtext(tag)) == 1
