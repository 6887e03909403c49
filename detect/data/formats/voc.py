"""PASCAL VOC: a devkit year folder with Annotations, ImageSets/Main and JPEGImages (Everingham et al., 2010).

Corners are 1-based and inclusive in the file, so ``xmin ymin xmax ymax`` become ``(xmin - 1, ymin - 1, xmax, ymax)``.
Without ImageSets there is one list, of every image that has an XML file: those of ``Annotations`` (or ``annotations``)
with the images in ``JPEGImages`` (or ``images``), else those of a plain folder, each beside its image. Where all its
folders are named for a split, as Roboflow's train, valid and test are, each is a list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from detect.data.annotations import Annotations
from detect.data.formats.records import (
    LabelledImage,
    LabelledObject,
    LabelledSet,
    annotations_of,
    flaw,
    image_ids,
    misplaced,
)
from detect.data.formats.split_names import split_of
from detect.data.formats.voc_xml import VocObject, read_page, refuse_cvat
from detect.data.images import image_size, is_image
from detect.errors import UserError, nearest
from detect.system.files import existing_file, existing_folder, text_lines
from detect.types import Size

_EXTENSIONS = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".bmp", ".webp", ".tif", ".tiff")
_LABELS, _IMAGES = ("Annotations", "annotations"), ("JPEGImages", "images")
_LISTS = ("ImageSets", "Main")
WITHOUT_LISTS = "train"  # the name of the one list of a folder that has none


def read_voc(root: Path, list_name: str, classes: Sequence[str] | None) -> Annotations:
    """The images named by ``ImageSets/Main/<list_name>.txt``, or of a folder that is a list; else the whole folder.

    classes None: the names found in those images, sorted. A list for one class (``cat_train``: a second column of -1,
    0 or 1) gives all its images. Boxes may reach outside the picture; those without extent, or entirely outside, are
    dropped and reported. Parts of objects are ignored. The image id is the number in the file's name where every name
    of the list is a number, else the 1-based place in the list. Raises UserError.
    """
    return annotations_of(voc_images(root, list_name), classes)


def voc_lists(root: Path) -> list[str]:
    """The names of the lists, those for one class left out."""
    folder = existing_folder(root, "a VOC folder").joinpath(*_LISTS)
    if not folder.is_dir():
        return list_folders(root) or ([WITHOUT_LISTS] if next(_listless(root), None) else [])
    names = {entry.stem for entry in folder.glob("*.txt")}
    return sorted(name for name in names if not any(name.endswith(f"_{other}") for other in names))


def list_folders(root: Path) -> list[str]:
    """The folders in ``root`` that hold images with XML files beside them, where each is named for a split.

    None where ``root`` has lists, or its XML files apart; nor where none is for training or validation, or one has
    another name: a folder of cars beside one of trains is no list.
    """
    if root.joinpath(_LISTS[0]).is_dir() or _labels_apart(root):
        return []
    names = [entry.name for entry in sorted(root.iterdir()) if entry.is_dir() and next(_pairs(entry), None)]
    roles = {split_of(name) for name in names}
    return names if None not in roles and not roles <= {"test"} else []


def voc_images(root: Path, list_name: str) -> LabelledSet:
    """The images of a list as their files give them. Raises UserError."""
    folder, pairs = _listed(existing_folder(root, "a VOC folder"), list_name)
    names = [image.relative_to(folder).as_posix() for image, _ in pairs]
    images = (
        _read_image(image, xml, name, image_id)
        for (image, xml), name, image_id in zip(pairs, names, image_ids(names), strict=True)
    )
    return LabelledSet(tuple(images))


def _listed(root: Path, list_name: str) -> tuple[Path, list[tuple[Path, Path]]]:
    """The folder of the images, and (image, XML) of each in the list."""
    folders = list_folders(root)
    if folders:
        if list_name not in folders:
            found = f"nothing{nearest(list_name, folders)}; lists: {', '.join(folders)}"
            raise UserError(f"{root / list_name}: expected a folder of images with XML files, found {found}")
        return root, list(_pairs(root / list_name))
    if not root.joinpath(_LISTS[0]).is_dir() and list_name == WITHOUT_LISTS:
        pairs = list(_listless(root))
        if not pairs:
            refuse_cvat(root)
            raise UserError(f"{root}: expected Annotations, or images with an XML file beside each, found neither")
        return _first_folder(root, _IMAGES) if _labels_apart(root) else root, pairs
    stems = _read_list(root, list_name)
    images = root / _IMAGES[0]
    return images, [(_find_image(images, stem), root / _LABELS[0] / f"{stem}.xml") for stem in stems]


def _read_list(root: Path, list_name: str) -> list[str]:
    folder = existing_folder(root.joinpath(*_LISTS), "VOC's folder of lists")
    path = folder / f"{list_name}.txt"
    if not path.is_file():
        known = sorted(entry.stem for entry in folder.glob("*.txt"))
        there = ", ".join(known[:20]) or "none"
        raise UserError(f"{path}: expected a list of images, found nothing{nearest(list_name, known)}; lists: {there}")
    stems = [_stem(root, line.strip()) for line in text_lines(path) if line.strip()]
    seen: set[str] = set()
    for stem in stems:
        if stem in seen:
            raise UserError(f"{path}: expected each image once, found {stem} twice")
        seen.add(stem)
    return stems


def _stem(root: Path, line: str) -> str:
    """The whole line, blanks and all, where an image has that name; else its first column."""
    return line if (root / _LABELS[0] / f"{line}.xml").is_file() else line.split()[0]


def _listless(root: Path) -> Iterator[tuple[Path, Path]]:
    """(image, XML) of every image that has an XML file, sorted by the XML's path."""
    if _labels_apart(root):
        folder = _first_folder(root, _IMAGES)
        for xml in sorted(_first_folder(root, _LABELS).glob("[!.]*.xml")):
            yield _find_image(folder, xml.stem), xml
    else:
        yield from _pairs(root)


def _pairs(root: Path) -> Iterator[tuple[Path, Path]]:
    """(image, XML beside it) of a folder and those in it."""
    for image in sorted(root.rglob("*")):
        xml = image.with_suffix(".xml")
        if is_image(image) and xml.is_file():
            yield image, xml


def images_without_xml(root: Path) -> int:
    """How many images of a folder without lists are not of its one list, as they have no XML file. Raises UserError."""
    if root.joinpath(_LISTS[0]).is_dir():
        return 0
    entries = _first_folder(root, _IMAGES).glob("*") if _labels_apart(root) else root.rglob("*")
    return len({entry for entry in entries if is_image(entry)} - {image for image, _ in _listless(root)})


def _labels_apart(root: Path) -> bool:
    return any((root / name).is_dir() for name in _LABELS)


def _first_folder(root: Path, names: Sequence[str]) -> Path:
    """The first that is there, else the first, for the error to name."""
    return next((root / name for name in names if (root / name).is_dir()), root / names[0])


def _find_image(folder: Path, stem: str) -> Path:
    for extension in _EXTENSIONS:
        path = folder / f"{stem}{extension}"
        if path.is_file():
            return path
    return existing_file(folder / f"{stem}.jpg", f"image {stem}")


def _read_image(image: Path, xml: Path, name: str, image_id: int) -> LabelledImage:
    page = read_page(xml)
    size = page.size or image_size(image)
    objects = tuple(_object(xml, item, size) for item in page.objects)
    return LabelledImage(image.absolute(), name, xml, size, image_id, objects)


def _object(xml: Path, item: VocObject, size: Size) -> LabelledObject:
    where = f"object {item.place}"
    if not item.name:
        raise UserError(f"{xml}: {where}: expected a <name>, found none")
    return LabelledObject(
        where=where,
        name=item.name,
        box=item.box,
        flaw=_unusable(item, size),
        difficult=item.difficult,
        crowd=item.crowd,
        truncated=item.truncated,
        pose=item.pose,
    )


def _unusable(item: VocObject, size: Size) -> str | None:
    """Why the object's box cannot be used; None where it can."""
    if not item.complete:
        return "no complete <bndbox>"
    return flaw(item.corners) or misplaced(item.box, size)
