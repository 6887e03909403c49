"""Photos in folders named for what they show, as classification data sets have them: each photo is one object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detect.data.annotations import Annotations, ImageAnnotation, pack
from detect.data.images import image_size, is_photo
from detect.errors import UserError, nearest
from detect.system.files import existing_folder


def read_class_folders(folder: Path, classes: Sequence[str] | None) -> Annotations:
    """``folder/<class>/**/photo``; the object's box is the whole picture, its id the place in the order of the paths.

    classes None: the names of the folders, sorted. Raises UserError for a folder without photos, or of another class.
    """
    existing_folder(folder, "a folder of class folders")
    found = {
        child.name: sorted(photo for photo in child.rglob("*") if is_photo(photo))
        for child in sorted(folder.iterdir())
        if child.is_dir()
    }
    names = list(found) if classes is None else list(classes)
    for name, photos in found.items():
        if name not in names:
            raise UserError(f"{folder / name}: expected a folder of {', '.join(names)}{nearest(name, names)}")
        if not photos:
            raise UserError(f"{folder / name}: expected photos, found none")
    if not found:
        raise UserError(f"{folder}: expected folders named for the class of their photos, found none")
    listed = [(photo, names.index(name) + 1) for name, photos in found.items() for photo in photos]
    images = [_whole(photo, label, number) for number, (photo, label) in enumerate(listed, start=1)]
    return pack(images, names)


def _whole(photo: Path, label: int, number: int) -> ImageAnnotation:
    height, width = image_size(photo)
    return ImageAnnotation(
        file=str(photo.absolute()),
        image_id=number,
        size=(height, width),
        boxes=np.array([[0, 0, width, height]], np.float64),
        labels=np.array([label], np.int64),
        difficult=np.zeros(1, bool),
        crowd=np.zeros(1, bool),
        areas=np.array([height * width], np.float64),
    )
