"""PASCAL VOC: a devkit year folder with Annotations, ImageSets/Main and JPEGImages (Everingham et al., 2010).

Corners are 1-based and inclusive in the file, so ``xmin ymin xmax ymax`` become ``(xmin - 1, ymin - 1, xmax, ymax)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detect.data.annotations import Annotations, DroppedBox, ImageAnnotation, pack
from detect.data.images import image_size
from detect.data.validity import flaw, misplaced
from detect.data.voc_xml import VocObject, read_page
from detect.errors import UserError, nearest
from detect.files import existing_file, existing_folder
from detect.types import Size

_EXTENSIONS = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".bmp", ".webp", ".tif", ".tiff")


@dataclass(frozen=True)
class _Photo:
    xml: Path
    image: Path
    size: Size
    objects: list[VocObject]


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
    page = read_page(xml)
    image = _find_image(root / "JPEGImages", stem)
    size = page.size or image_size(image)
    objects = []
    for item in page.objects:
        if not item.name:
            raise UserError(f"{xml}: object {item.place}: expected a <name>, found none")
        reason = _unusable(item, size)
        if reason is None:
            objects.append(item)
        else:
            dropped.append(DroppedBox(str(xml), f"object {item.place} ({item.name})", reason))
    return _Photo(xml, image, size, objects)


def _unusable(item: VocObject, size: Size) -> str | None:
    """Why the object's box cannot be used; None where it can."""
    if not item.complete:
        return "no complete <bndbox>"
    return flaw(item.corners) or misplaced(item.box, size)


def _find_image(folder: Path, stem: str) -> Path:
    for extension in _EXTENSIONS:
        path = folder / f"{stem}{extension}"
        if path.is_file():
            return path
    return existing_file(folder / f"{stem}.jpg", f"image {stem}")


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
