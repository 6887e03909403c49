"""One VOC annotation file, as it is written: nothing is judged or left out, so that reader and inspector share it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from detect.errors import UserError
from detect.files import existing_file
from detect.types import Size

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class VocObject:
    """One <object>. Its parts are ignored.

    place: 1-based; name: without blanks around it, empty where there is none; corners: the file's own numbers, 1-based
    and inclusive, NaN where one is missing or no number; complete: whether all four are there.
    """

    place: int
    name: str
    corners: tuple[float, float, float, float]
    complete: bool
    difficult: bool

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Continuous 0-based ``x1 y1 x2 y2``."""
        x1, y1, x2, y2 = self.corners
        return x1 - 1.0, y1 - 1.0, x2, y2


@dataclass(frozen=True)
class VocPage:
    """size: as the file gives it; None where it is missing or nonsense (old exports write 0)."""

    size: Size | None
    objects: tuple[VocObject, ...]


def read_page(xml: Path) -> VocPage:
    """Raises UserError where the file is missing or no XML; entities are never expanded."""
    try:
        tree: Element = fromstring(xml.read_bytes())
    except FileNotFoundError:
        existing_file(xml, f"the annotation of image {xml.stem}")
        raise
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise UserError(f"{xml}: expected a VOC annotation, found damaged XML: {error}") from error
    return VocPage(_size(tree), tuple(_object(place, one) for place, one in enumerate(tree.findall("object"), start=1)))


def _size(tree: Element) -> Size | None:
    height, width = _number(tree.findtext("size/height")), _number(tree.findtext("size/width"))
    return (int(height), int(width)) if 1 <= height < 1e9 and 1 <= width < 1e9 else None


def _object(place: int, element: Element) -> VocObject:
    texts = [element.findtext(f"bndbox/{corner}") for corner in _CORNERS]
    x1, y1, x2, y2 = (_number(text) for text in texts)
    return VocObject(
        place=place,
        name=(element.findtext("name") or "").strip(),
        corners=(x1, y1, x2, y2),
        complete=None not in texts,
        difficult=_number(element.findtext("difficult")) == 1,
    )


def _number(text: str | None) -> float:
    """NaN where the text is missing or no number."""
    try:
        return float(text) if text is not None else float("nan")
    except ValueError:
        return float("nan")
