"""PASCAL VOC: a devkit year folder with Annotations, ImageSets/Main and JPEGImages (Everingham et al., 2010).

Corners are 1-based and inclusive in the file, so ``xmin ymin xmax ymax`` become ``(xmin - 1, ymin - 1, xmax, ymax)``.
Without ImageSets there is one split, of every image that has an XML file: those of ``Annotations`` (or
``annotations``) with the images in ``JPEGImages`` (or ``images``), else those of a plain folder, each beside its image.
If all folders with images are named for a split, like Roboflow's train, valid and test, each is a split.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from detect.data.annotations import Annotations
from detect.data.formats.records import (
    LabeledImage,
    LabeledObject,
    LabeledSet,
    image_ids,
    invalid_box_reason,
    outside_reason,
    to_annotations,
)
from detect.data.formats.split_names import ONLY_SPLIT, guess_split
from detect.data.formats.voc_xml import VocObject, read_annotation, refuse_cvat
from detect.data.images import image_size, is_image
from detect.errors import UserError, did_you_mean
from detect.system.files import require_file, require_folder, text_lines
from detect.types import Size

_EXTENSIONS = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".bmp", ".webp", ".tif", ".tiff")
_ANNOTATION_FOLDERS, _IMAGE_FOLDERS = ("Annotations", "annotations"), ("JPEGImages", "images")
_SPLIT_FOLDER = ("ImageSets", "Main")


def read_voc(root: Path, split: str, classes: Sequence[str] | None) -> Annotations:
    """Return the images of a split: of ``ImageSets/Main/<split>.txt``, else of a folder of that name, else all images.

    classes None: the names in those images, sorted. A split file for one class (``cat_train``: a second column of -1, 0
    or 1) gives all its images. Boxes may reach outside the image; those without extent, or entirely outside, are
    dropped and reported. Parts of objects are ignored. The image id is the number in the file name if every name of the
    split is a number, else the index from 1 in the split. Raises UserError.
    """
    return to_annotations(voc_images(root, split), classes)


def voc_splits(root: Path) -> list[str]:
    """Return the names of the splits, without those for one class."""
    folder = require_folder(root, "a VOC folder").joinpath(*_SPLIT_FOLDER)
    if not folder.is_dir():
        return split_folders(root) or ([ONLY_SPLIT] if next(_unlisted_images(root), None) else [])
    names = {entry.stem for entry in folder.glob("*.txt")}
    return sorted(name for name in names if not any(name.endswith(f"_{other}") for other in names))


def split_folders(root: Path) -> list[str]:
    """Return the folders in ``root`` that hold images with XML files beside them, if all are named for a split.

    There are none if ``root`` has ImageSets or keeps its XML files apart; nor if no folder is for training or
    validation, or if one has another name: a folder of cars beside one of trains is no split.
    """
    if root.joinpath(_SPLIT_FOLDER[0]).is_dir() or _has_annotation_folder(root):
        return []
    names = [entry.name for entry in sorted(root.iterdir()) if entry.is_dir() and next(_image_xml_pairs(entry), None)]
    splits = {guess_split(name) for name in names}
    return names if None not in splits and not splits <= {"test"} else []


def voc_images(root: Path, split: str) -> LabeledSet:
    """Return the images of a split with all their objects, valid or not. Raises UserError."""
    folder, pairs = _split_pairs(require_folder(root, "a VOC folder"), split)
    names = [image.relative_to(folder).as_posix() for image, _ in pairs]
    images = (
        _read_image(image, xml, name, image_id)
        for (image, xml), name, image_id in zip(pairs, names, image_ids(names), strict=True)
    )
    return LabeledSet(tuple(images))


def _split_pairs(root: Path, split: str) -> tuple[Path, list[tuple[Path, Path]]]:
    """Return the folder of the images, and (image, XML) of each image of the split."""
    folders = split_folders(root)
    if folders:
        if split not in folders:
            missing = f"nothing{did_you_mean(split, folders)}; splits: {', '.join(folders)}"
            raise UserError(f"{root / split}: expected a folder of images with XML files, found {missing}")
        return root, list(_image_xml_pairs(root / split))
    if not root.joinpath(_SPLIT_FOLDER[0]).is_dir() and split == ONLY_SPLIT:
        pairs = list(_unlisted_images(root))
        if not pairs:
            refuse_cvat(root)
            raise UserError(f"{root}: expected Annotations, or images with an XML file beside each, found neither")
        return _first_existing_folder(root, _IMAGE_FOLDERS) if _has_annotation_folder(root) else root, pairs
    stems = _read_split_file(root, split)
    images = root / _IMAGE_FOLDERS[0]
    return images, [(_find_image(images, stem), root / _ANNOTATION_FOLDERS[0] / f"{stem}.xml") for stem in stems]


def _read_split_file(root: Path, split: str) -> list[str]:
    """Return the file name stems that ``ImageSets/Main/<split>.txt`` lists."""
    folder = require_folder(root.joinpath(*_SPLIT_FOLDER), "VOC's folder of splits")
    path = folder / f"{split}.txt"
    if not path.is_file():
        known = sorted(entry.stem for entry in folder.glob("*.txt"))
        listed = ", ".join(known[:20]) or "none"
        raise UserError(f"{path}: expected a split file, found nothing{did_you_mean(split, known)}; splits: {listed}")
    stems = [_stem(root, line.strip()) for line in text_lines(path) if line.strip()]
    unique: set[str] = set()
    for stem in stems:
        if stem in unique:
            raise UserError(f"{path}: expected each image once, found {stem} twice")
        unique.add(stem)
    return stems


def _stem(root: Path, line: str) -> str:
    """Return the whole line, including blanks, if an image has that name; else its first column."""
    return line if (root / _ANNOTATION_FOLDERS[0] / f"{line}.xml").is_file() else line.split()[0]


def _unlisted_images(root: Path) -> Iterator[tuple[Path, Path]]:
    """Yield (image, XML) of every image that has an XML file, sorted by the path of the XML file."""
    if _has_annotation_folder(root):
        folder = _first_existing_folder(root, _IMAGE_FOLDERS)
        for xml in sorted(_first_existing_folder(root, _ANNOTATION_FOLDERS).glob("[!.]*.xml")):
            yield _find_image(folder, xml.stem), xml
    else:
        yield from _image_xml_pairs(root)


def _image_xml_pairs(root: Path) -> Iterator[tuple[Path, Path]]:
    """Yield (image, XML beside it) of all images in a folder and its sub-folders."""
    for image in sorted(root.rglob("*")):
        xml = image.with_suffix(".xml")
        if is_image(image) and xml.is_file():
            yield image, xml


def count_images_without_xml(root: Path) -> int:
    """Count the images of a folder without ImageSets that have no XML file, so that no split contains them.

    Raises UserError.
    """
    if root.joinpath(_SPLIT_FOLDER[0]).is_dir():
        return 0
    entries = (
        _first_existing_folder(root, _IMAGE_FOLDERS).glob("*") if _has_annotation_folder(root) else root.rglob("*")
    )
    return len({entry for entry in entries if is_image(entry)} - {image for image, _ in _unlisted_images(root)})


def _has_annotation_folder(root: Path) -> bool:
    """Return True if the XML files are in a folder of their own."""
    return any((root / name).is_dir() for name in _ANNOTATION_FOLDERS)


def _first_existing_folder(root: Path, names: Sequence[str]) -> Path:
    """Return the first folder that exists; if none does, the first of all, for the error message."""
    return next((root / name for name in names if (root / name).is_dir()), root / names[0])


def _find_image(folder: Path, stem: str) -> Path:
    """Return the image file with this stem. Raises UserError if there is none."""
    for extension in _EXTENSIONS:
        path = folder / f"{stem}{extension}"
        if path.is_file():
            return path
    return require_file(folder / f"{stem}.jpg", f"image {stem}")


def _read_image(image: Path, xml: Path, name: str, image_id: int) -> LabeledImage:
    """Return an image with the objects of its XML file."""
    annotation = read_annotation(xml)
    size = annotation.size or image_size(image)
    objects = tuple(_to_labeled_object(xml, voc_object, size) for voc_object in annotation.objects)
    return LabeledImage(image.absolute(), name, xml, size, image_id, objects)


def _to_labeled_object(xml: Path, voc_object: VocObject, size: Size) -> LabeledObject:
    """Return the object with the reason if its box is invalid in an image of ``size`` (h, w)."""
    location = f"object {voc_object.index}"
    if not voc_object.name:
        raise UserError(f"{xml}: {location}: expected a <name>, found none")
    return LabeledObject(
        location=location,
        name=voc_object.name,
        box=voc_object.box,
        invalid_reason=_invalid_reason(voc_object, size),
        difficult=voc_object.difficult,
        crowd=voc_object.crowd,
        truncated=voc_object.truncated,
        pose=voc_object.pose,
    )


def _invalid_reason(voc_object: VocObject, size: Size) -> str | None:
    """Return why the object's box cannot be used in an image of ``size`` (h, w); None if it can."""
    if not voc_object.complete:
        return "no complete <bndbox>"
    return invalid_box_reason(voc_object.corners) or outside_reason(voc_object.box, size)
