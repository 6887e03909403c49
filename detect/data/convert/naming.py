"""Chooses the file names of the images in the new folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from detect.data.formats.records import LabeledImage
from detect.errors import UserError


def target_names(images: Iterable[LabeledImage], flat: bool) -> dict[Path, str]:
    """Return the path of each image file inside the new folder of images.

    It is the image's name, or the path below the folder that all images share if two images have the same name. flat:
    no subfolders, as VOC requires; folder names are joined by "_" if two images would have the same name. Raises
    UserError if two images differ only in their suffix, because their label files would be the same.
    """
    all_images = list(images)
    names = [image.name for image in all_images]
    if any(PurePosixPath(name).is_absolute() for name in names) or _first_repeated_stem(names):
        shared = Path(os.path.commonpath([image.file.parent for image in all_images]))
        names = [image.file.relative_to(shared).as_posix() for image in all_images]
    if flat:
        file_names = [PurePosixPath(name).name for name in names]
        names = [name.replace("/", "_") for name in names] if _first_repeated_stem(file_names) else file_names
    repeated = _first_repeated_stem(names)
    if repeated:
        first, second = (image.file for image, name in zip(all_images, names, strict=True) if _stem(name) == repeated)
        raise UserError(f"{second}: expected a name that differs from {first} in more than the suffix")
    return {image.file: name for image, name in zip(all_images, names, strict=True)}


def _first_repeated_stem(names: list[str]) -> str | None:
    counts = Counter(map(_stem, names))
    return next((stem for stem, count in counts.items() if count > 1), None)


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()
