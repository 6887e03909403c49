"""PASCAL VOC: a devkit year folder with Annotations, ImageSets/Main and JPEGImages (Everingham et al., 2010).

Corners are 1-based and inclusive in the file, so ``xmin ymin xmax ymax`` become ``(xmin - 1, ymin - 1, xmax, ymax)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from detect.data.annotations import Annotations, DroppedBox, ImageAnnotation, pack
from detect.data.images import image_size
from detect.data.validity import flaw, misplaced
from detect.errors import UserError, nearest
from detect.files import existing_file, existing_folder
from detect.types import Size

_EXTENSIONS = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".bmp", ".webp", ".tif", ".tiff")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class _Object:
    place: int
    name: str
    box: tuple[float, float, float, float]
    difficult: bool


@dataclass(frozen=True)
class _Photo:
    xml: Path
    image: Path
    size: Size
    objects: list[_Object]


def read_voc(root: Path, list_name: str, classes: Sequence[str] | None) -> Annotations:
    """The photos named by ``ImageSets/Main/<list_name>.txt``.

    classes None: the names found in those photos, sorted. A list for one class (``cat_train``: a second column of -1,
    0 or 1) gives all its photos. Boxes may reach outside the picture; those without extent, or entirely outside, are
    dropped and reported. Parts of objects are ignored. The image id is the number in the file's name where every name
    of the list is a number, else the 1-based place in the list. Raises UserError.
    """
    stems = _read_list(root, list_name)
    dropped: list[DroppedBox] = []
    photos = [_read_photo(root, stem, dropped) for stem in stems]
    names = sorted({item.name for photo in photos for item in photo.objects}) if classes is None else list(classes)
    labels = {name: label for label, name in enumerate(names, start=1)}
    images = [_annotation(photo, labels, image_id) for photo, image_id in zip(photos, _ids(stems), strict=True)]
    return pack(images, names, dropped=dropped)


def _read_list(root: Path, list_name: str) -> list[str]:
    folder = existing_folder(existing_folder(root, "a VOC folder") / "ImageSets" / "Main", "VOC's folder of lists")
    path = folder / f"{list_name}.txt"
    if not path.is_file():
        known = sorted(entry.stem for entry in folder.glob("*.txt"))
        there = ", ".join(known[:20]) or "none"
        raise UserError(f"{path}: expected a list of images, found nothing{nearest(list_name, known)}; lists: {there}")
    stems = [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
    seen: set[str] = set()
    for stem in stems:
        if stem in seen:
            raise UserError(f"{path}: expected each image once, found {stem} twice")
        seen.add(stem)
    return stems


def _ids(stems: Sequence[str]) -> list[int]:
    numbers = [int(stem) for stem in stems if stem.isascii() and stem.isdigit()]
    numbered = len(numbers) == len(set(numbers)) == len(stems) and max(numbers, default=0) < 2**63
    return numbers if numbered else list(range(1, len(stems) + 1))


def _read_photo(root: Path, stem: str, dropped: list[DroppedBox]) -> _Photo:
    """The photo's annotation; boxes that cannot be used are added to ``dropped``."""
    xml = root / "Annotations" / f"{stem}.xml"
    try:
        tree: Element = fromstring(xml.read_bytes())
    except FileNotFoundError:
        existing_file(xml, f"the annotation of image {stem}")
        raise
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise UserError(f"{xml}: expected a VOC annotation, found damaged XML: {error}") from error
    image = _find_image(root / "JPEGImages", stem)
    size = _size(tree) or image_size(image)
    objects = []
    for place, element in enumerate(tree.findall("object"), start=1):
        found = _read_object(xml, place, element, size)
        if isinstance(found, DroppedBox):
            dropped.append(found)
        else:
            objects.append(found)
    return _Photo(xml, image, size, objects)


def _find_image(folder: Path, stem: str) -> Path:
    for extension in _EXTENSIONS:
        path = folder / f"{stem}{extension}"
        if path.is_file():
            return path
    return existing_file(folder / f"{stem}.jpg", f"image {stem}")


def _size(tree: Element) -> Size | None:
    """The size that the file gives; None where it is missing or nonsense (old exports write 0)."""
    height, width = _number(tree.findtext("size/height")), _number(tree.findtext("size/width"))
    return (int(height), int(width)) if height >= 1 and width >= 1 else None


def _read_object(xml: Path, place: int, element: Element, size: Size) -> _Object | DroppedBox:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise UserError(f"{xml}: object {place}: expected a <name>, found none")
    texts = [element.findtext(f"bndbox/{corner}") for corner in _CORNERS]
    x1, y1, x2, y2 = corners = [_number(text) for text in texts]
    reason = flaw(corners)
    if reason and None in texts:
        reason = "no complete <bndbox>"
    box = (x1 - 1.0, y1 - 1.0, x2, y2)
    reason = reason or misplaced(box, size)
    if reason:
        return DroppedBox(str(xml), f"object {place} ({name})", reason)
    return _Object(place, name, box, _number(element.findtext("difficult")) == 1)


def _number(text: str | None) -> float:
    """NaN where the text is missing or no number."""
    try:
        return float(text) if text is not None else float("nan")
    except ValueError:
        return float("nan")


def _annotation(photo: _Photo, labels: dict[str, int], image_id: int) -> ImageAnnotation:
    for item in photo.objects:
        if item.name not in labels:
            expected = f"one of {len(labels)} classes"
            hint = nearest(item.name, labels)
            raise UserError(f'{photo.xml}: object {item.place}: expected {expected}, found "{item.name}"{hint}')
    boxes = np.asarray([item.box for item in photo.objects], np.float64).reshape(-1, 4)
    return ImageAnnotation(
        file=str(photo.image.absolute()),
        image_id=image_id,
        size=photo.size,
        boxes=boxes,
        labels=np.asarray([labels[item.name] for item in photo.objects], np.int64),
        difficult=np.asarray([item.difficult for item in photo.objects], bool),
        crowd=np.zeros(len(boxes), bool),
        areas=(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]),
    )
