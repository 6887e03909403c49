"""Parses one VOC annotation file without dropping anything."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

from detect.data.formats.cvat_xml import is_cvat
from detect.data.formats.label_text import class_name
from detect.data.formats.numbers import parse_float, parse_minus_one
from detect.data.formats.report import Report
from detect.data.formats.voc_shapes import corners_around, find_shape, turned_corners
from detect.data.formats.xml_files import read_head, read_xml
from detect.errors import UserError
from detect.types import Size

UNSPECIFIED = "Unspecified"  # a pose
_CVAT = "annotations"  # CVAT's file and its first element
_VOC = "annotation"
_HEAD = 1000  # bytes: only a declaration comes before the first element
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class VocObject:
    """One <object>. Its parts are ignored.

    index: from 1; name: without blanks around it, empty where there is none; corners: the file's own numbers, 1-based
    and inclusive, NaN where one is missing or no number; box: continuous 0-based ``x1 y1 x2 y2``; complete: True if all
    four are present; crowd: <iscrowd>, which `detect data convert` writes for COCO's; pose: empty where unspecified;
    num_boxes: the number of <bndbox> elements, of which the first is read; shape: the tag of a polygon or rotated box,
    around which the box is where there is no <bndbox>; empty without one; turned: True if the box is the one around the
    <bndbox> turned by CVAT's attribute rotation; deleted: <deleted>, by which LabelMe's web tool marks what its user
    removed (github.com/CSAILVision/LabelMeAnnotationTool, "XML description").
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
    num_boxes: int
    shape: str
    turned: bool = False
    deleted: bool = False
    occluded: bool = False


@dataclass(frozen=True)
class VocAnnotation:
    """The content of the file.

    size: (h, w) in the file; None if it is missing or impossible (old exports write 0); file_name: of the image, empty
    where there is none.
    """

    size: Size | None
    objects: tuple[VocObject, ...]
    file_name: str = ""


class VocAnnotations:
    """Parses XML files, each once; report: where those that are missing or damaged go."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._parsed: dict[Path, VocAnnotation | None] = {}

    def read(self, xml: Path) -> VocAnnotation | None:
        """Return the content of an XML file; None after reporting one that is missing or damaged."""
        if xml not in self._parsed:
            try:
                self._parsed[xml] = read_annotation(xml)
            except UserError as error:
                kind = "damaged-annotation" if xml.is_file() else "missing-annotation"
                self._report.add_error(kind, xml, "", error)
                self._parsed[xml] = None
        return self._parsed[xml]

    def take(self, xml: Path) -> VocAnnotation:
        """Return the content of an XML file, which is not needed again; an empty one where ``read`` returns None."""
        annotation = self.read(xml)
        del self._parsed[xml]
        return annotation or VocAnnotation(None, ())


def read_annotation(xml: Path) -> VocAnnotation:
    """Return the content of an XML file. Entities are never expanded, and a default namespace is ignored.

    Raises UserError if the file is missing, is no XML, is CVAT's own, or has neither VOC's first element nor an object.
    """
    tree = read_xml(xml, f"the annotation of image {xml.stem}", "a VOC annotation")
    if tree.tag == _CVAT:
        raise UserError(_cvat_message(xml))
    elements = tree.findall("object")
    if tree.tag != _VOC and not elements:
        raise UserError(f"{xml}: expected VOC's <{_VOC}> with <object>, found <{str(tree.tag)[:40]}> without any")
    return VocAnnotation(
        size=_parse_size(tree),
        objects=tuple(_parse_object(index, element) for index, element in enumerate(elements, start=1)),
        file_name=(tree.findtext("filename") or "").strip(),
    )


def is_voc_annotation(xml: Path) -> bool:
    """Return True if a file starts like a VOC annotation, whatever follows."""
    return re.search(rb"<([\w.-]+:)?annotation[\s>/]", read_head(xml, _HEAD)) is not None


def refuse_cvat(root: Path) -> None:
    """Raise UserError if ``root`` contains CVAT's own file of all images, annotations.xml, which is not VOC."""
    file = root / f"{_CVAT}.xml"
    if file.is_file() and is_cvat(file):
        raise UserError(_cvat_message(file))


def _cvat_message(file: Path) -> str:
    """Return the message for a file in CVAT's own XML."""
    return f"{file}: expected a VOC annotation, found CVAT's own XML: data.format=cvat or --format cvat reads it"


def _parse_size(tree: Element) -> Size | None:
    """Return the (h, w) in the file; None if it is missing or impossible."""
    height, width = parse_float(tree.findtext("size/height")), parse_float(tree.findtext("size/width"))
    return (int(height), int(width)) if 1 <= height < 1e9 and 1 <= width < 1e9 else None


def _parse_object(index: int, element: Element) -> VocObject:
    """Return the object of an <object> element; index: from 1."""
    boxes = element.findall("bndbox")
    shape = find_shape(element)
    texts = [boxes[0].findtext(corner) for corner in _CORNERS] if boxes else corners_around(element)
    turned = turned_corners(element, texts) if boxes else None
    texts = turned or texts
    x1, y1, x2, y2 = (parse_float(text) for text in texts)
    pose = (element.findtext("pose") or "").strip()
    return VocObject(
        index=index,
        name=class_name((element.findtext("name") or "").strip()),
        corners=(x1, y1, x2, y2),
        box=(parse_minus_one(texts[0]), parse_minus_one(texts[1]), x2, y2),
        complete=None not in texts,
        difficult=_parse_flag(element, "difficult"),
        crowd=_parse_flag(element, "iscrowd"),
        truncated=_parse_flag(element, "truncated"),
        pose="" if pose == UNSPECIFIED else pose,
        num_boxes=len(boxes),
        shape=shape,
        turned=turned is not None,
        occluded=_parse_flag(element, "occluded"),
        deleted=element.find("deleted") is not None and _parse_flag(element, "deleted"),
    )


def _parse_flag(element: Element, tag: str) -> bool:
    """Return True if the element's ``tag`` is 1, or ``true``, which VOC's own files never say."""
    text = (element.findtext(tag) or "").strip()
    return text.lower() == "true" or parse_float(text) == 1
