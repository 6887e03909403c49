"""VOC photos whose objects have masks: what an explanation should lie on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from detect.data.formats.voc_xml import read_page
from detect.errors import UserError
from detect.system.files import existing_file, existing_folder

MASKS = "SegmentationObject"


@dataclass(frozen=True)
class Masked:
    """A photo; of each object its class, its box (4,) in the photo's pixels and its mask (H, W) bool."""

    photo: Path
    names: tuple[str, ...]
    boxes: np.ndarray
    masks: tuple[np.ndarray, ...]


def masked_photos(root: Path, split: str, number: int) -> list[Masked]:
    """The first ``number`` photos of a VOC folder's list that have masks. UserError where none has."""
    folder = existing_folder(root / MASKS, "VOC's masks of objects")
    names = existing_file(root / "ImageSets" / "Main" / f"{split}.txt", "a list of photos").read_text("utf-8").split()
    files = [file for name in names if (file := folder / f"{name}.png").exists()][:number]
    if not files:
        raise UserError(f"{folder}: expected masks (.png) of photos in the list {split}, found none")
    return [_read(root, file) for file in files]


def _read(root: Path, file: Path) -> Masked:
    """The value of a pixel is the place of its object in the annotation, from 1; 255 is the border between objects."""
    objects = read_page(root / "Annotations" / f"{file.stem}.xml").objects
    values = np.asarray(Image.open(file))
    seen = [one for one in objects if (values == one.place).any()]
    boxes = np.array([one.box for one in seen], np.float64).reshape(-1, 4)
    names, masks = tuple(one.name for one in seen), tuple(values == one.place for one in seen)
    return Masked(root / "JPEGImages" / f"{file.stem}.jpg", names, boxes, masks)
