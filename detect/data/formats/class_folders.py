"""Images in folders named for their class, as in data sets for classification: each image is one object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detect.data.annotations import Annotations, ImageAnnotation
from detect.data.formats.report import Report
from detect.data.images import image_size, is_image
from detect.errors import UserError, did_you_mean
from detect.system.files import require_folder


def read_class_folders(folder: Path, classes: Sequence[str] | None, report: Report) -> Annotations:
    """Return the images ``folder/<class>/**/image``; the object's box is the full image.

    The image id is the position in the order of the paths, from 1. classes None: the names of the folders, sorted.
    report: where images beside the folders are noted, and linked folders in them, which are not searched. Raises
    UserError for a folder without images, or for one of another class.
    """
    require_folder(folder, "a folder of class folders")
    _note_unread(folder, report)
    files_by_class = {
        child.name: sorted(image for image in child.rglob("*") if is_image(image))
        for child in sorted(folder.iterdir())
        if child.is_dir()
    }
    names = list(files_by_class) if classes is None else list(classes)
    for name, files in files_by_class.items():
        if name not in names:
            raise UserError(f"{folder / name}: expected a folder of {', '.join(names)}{did_you_mean(name, names)}")
        if not files:
            raise UserError(f"{folder / name}: expected images, found none")
    if not files_by_class:
        raise UserError(f"{folder}: expected folders named for the class of their images, found none")
    labeled = [(image, names.index(name) + 1) for name, images in files_by_class.items() for image in images]
    images = [_full_image_object(image, label, image_id) for image_id, (image, label) in enumerate(labeled, start=1)]
    return Annotations.from_images(images, names)


def _note_unread(folder: Path, report: Report) -> None:
    """Note the images beside the class folders, and the linked folders in these."""
    for child in sorted(folder.iterdir()):
        if child.is_dir():
            for link in sorted(path for path in child.rglob("*") if path.is_symlink() and path.is_dir()):
                report.note("unread-link", link, "", "a linked folder is not searched")
        elif is_image(child):
            report.note("unlabelled-image", child, "", "in no folder of a class")


def _full_image_object(image: Path, label: int, image_id: int) -> ImageAnnotation:
    """Return an image whose only object covers all of it."""
    height, width = image_size(image)
    return ImageAnnotation(
        file=str(image.absolute()),
        image_id=image_id,
        size=(height, width),
        boxes=np.array([[0, 0, width, height]], np.float64),
        labels=np.array([label], np.int64),
        difficult=np.zeros(1, bool),
        crowd=np.zeros(1, bool),
        areas=np.array([height * width], np.float64),
    )
