"""Photos whose objects have masks: of a VOC folder (SegmentationObject), or of a data set of another format (COCO)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from detect.data.formats.detect_format import detect_format
from detect.data.formats.read_folder import open_folder
from detect.data.formats.records import LabeledImage
from detect.data.formats.report import Report
from detect.data.formats.sizes import ImageSizes
from detect.data.formats.voc_xml import read_annotation
from detect.data.masks import decode
from detect.errors import UserError
from detect.system.files import require_file, require_folder

MASKS_FOLDER = "SegmentationObject"


@dataclass(frozen=True)
class MaskedImage:
    """An image with the class name, the box (4,) in its pixels and the mask (H, W) bool of each object."""

    image: Path
    names: tuple[str, ...]
    boxes: np.ndarray
    masks: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class MaskedFile:
    """An image file whose masks are read when they are needed: those of 200 photos would take hundreds of megabytes.

    name: the path below its folder of images, by which records know it.
    """

    name: str
    image: Path
    read: Callable[[], MaskedImage]


def masked_files(root: Path, split: str, max_images: int | None, skip: int = 0) -> list[MaskedFile]:
    """Return the first ``max_images`` images of a split that have masks, None for all; UserError where none has.

    skip: number of images that are left out before the first.

    A VOC folder has lists of images for splits, COCO its annotation files. Crowds and objects with an invalid box of
    COCO are left out.
    """
    voc = (root / MASKS_FOLDER).is_dir() or (root / "ImageSets").is_dir() or not root.is_dir()
    files = (_voc_files(root, split) if voc else _labeled_files(root, split))[skip:][:max_images]
    if not files:
        after = f" after the first {skip}" if skip else ""
        raise UserError(f"{root}: expected masks of images in {split}{after}, found none")
    return files


def _voc_files(root: Path, split: str) -> list[MaskedFile]:
    folder = require_folder(root / MASKS_FOLDER, "VOC's masks of objects")
    names = require_file(root / "ImageSets" / "Main" / f"{split}.txt", "a list of images").read_text("utf-8").split()
    with_masks = [file for name in names if (file := folder / f"{name}.png").exists()]
    return [
        MaskedFile(f"{file.stem}.jpg", root / "JPEGImages" / f"{file.stem}.jpg", partial(_read_voc_image, root, file))
        for file in with_masks
    ]


def _read_voc_image(root: Path, file: Path) -> MaskedImage:
    """Read a mask file: a pixel's value is the index of its object in the annotation, from 1; 255 marks borders."""
    objects = read_annotation(root / "Annotations" / f"{file.stem}.xml").objects
    object_map = np.asarray(Image.open(file))
    with_mask = [annotation for annotation in objects if (object_map == annotation.index).any()]
    boxes = np.array([annotation.box for annotation in with_mask], np.float64).reshape(-1, 4)
    names = tuple(annotation.name for annotation in with_mask)
    masks = tuple(object_map == annotation.index for annotation in with_mask)
    return MaskedImage(root / "JPEGImages" / f"{file.stem}.jpg", names, boxes, masks)


def _labeled_files(root: Path, split: str) -> list[MaskedFile]:
    """Return the images of a split of any format that has masks."""
    reader = open_folder(detect_format(root), root, None, Report(), ImageSizes(), masks=True)
    return [
        MaskedFile(labeled.name, labeled.file, partial(_decode_masks, labeled))
        for labeled in reader.read_split(split).images
        if labeled.size is not None and any(instance.mask is not None for instance in labeled.objects)
    ]


def _decode_masks(labeled: LabeledImage) -> MaskedImage:
    size = labeled.known_size
    masks = {
        index: decode(instance.mask, size)
        for index, instance in enumerate(labeled.objects)
        if instance.mask is not None and not instance.crowd and instance.invalid_reason is None
    }
    boxes = np.array([labeled.objects[index].box for index in masks], np.float64).reshape(-1, 4)
    names = tuple(labeled.objects[index].name for index in masks)
    return MaskedImage(labeled.file, names, boxes, tuple(masks.values()))
