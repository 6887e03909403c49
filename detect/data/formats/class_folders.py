"""Images in folders named for what they show, as classification data sets have them: each image is one object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detect.data.annotations import Annotations, ImageAnnotation, pack
from detect.data.images import image_size, is_image
from detect.errors import UserError, nearest
from detect.system.files import existing_folder


def read_class_folders(folder: Path, classes: Sequence[str] | None) -> Annotations:
    """``folder/<class>/**/image``; the object's box is the whole picture, its id the place in the order of the paths.

    classes None: the names of the folders, sorted. Raises UserError for a folder without images, or of another class.
    """
    existing_folder(folder, "a folder of class folders")
    found = {
        child.name: sorted(image for image in child.rglob("*") if is_image(image))
        for child in sorted(folder.iterdir())
        if child.is_dir()
    }
    names = list(found) if classes is None else list(classes)
    for name, image_files in found.items():
        if name not in names:
            raise UserError(f"{folder / name}: expected a folder of {', '.join(names)}{nearest(name, names)}")
        if not image_files:
            raise UserError(f"{folder / name}: expected images, found none")
    if not found:
        raise UserError(f"{folder}: expected folders named for the class of their images, found none")
    listed = [(image, names.index(name) + 1) for name, images in found.items() for image in images]
    images = [_whole(image, label, number) for number, (image, label) in enumerate(listed, start=1)]
    return pack(images, names)


def _whole(image: Path, label: int, number: int) -> ImageAnnotation:
    height, width = image_size(image)
    return ImageAnnotation(
        file=str(image.absolute()),
        image_id=number,
        size=(height, width),
        boxes=np.array([[0, 0, width, height]], np.float64),
        labels=np.array([label], np.int64),
        difficult=np.zeros(1, bool),
        crowd=np.zeros(1, bool),
        areas=np.array([height * width], np.float64),
    )
