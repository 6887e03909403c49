"""VOC's masks: ``SegmentationObject/<name>.png``, whose colors are numbers of objects (Everingham et al., 2010).

Color 0 is background, color i the object i of the XML file, from 1 in its order, and 255 the border around objects,
which belongs to none. VOC 2007 has such a file for 632 of its images. Of the 1,215 objects of 422 of them, all have a
mask, of which 53% at least, and 97% in most, lies in the box of the same number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from detect.data.formats.records import LabeledObject, LabeledSet
from detect.data.formats.report import Report
from detect.data.masks import Mask, encode
from detect.types import Size

_FOLDER = "SegmentationObject"
_MIN_INSIDE = 0.25  # of a mask inside its box: below, the colors are numbered otherwise


def mask_file(root: Path, xml: Path) -> Path:
    """Return the path of the masks of an XML file of a VOC folder, which need not exist."""
    return root / _FOLDER / f"{xml.stem}.png"


def only_segmented(labeled: LabeledSet, root: Path, report: Report) -> LabeledSet:
    """Return the images of a VOC folder that have a file of masks, and note how many have none; all where none has.

    (Then no object has a mask: training refuses that, and scoring says it.)
    """
    images = tuple(image for image in labeled.images if mask_file(root, image.label_file).is_file())
    if not images:
        return labeled
    if len(images) < len(labeled.images):
        message = f"{len(labeled.images) - len(images)} of {len(labeled.images)} images have no file there: not used"
        report.note("dialect", root / _FOLDER, "", message)
    return replace(labeled, images=images)


def with_masks(objects: Sequence[LabeledObject], file: Path, size: Size | None, report: Report) -> list[LabeledObject]:
    """Return the objects of an image of ``size`` (h, w) with the masks of a file; without, where there is no file.

    A mask that lies outside its box, a file of another size and one that is no palette image are reported.
    """
    if not file.is_file() or size is None:
        return list(objects)
    try:
        with Image.open(file) as image:
            mode, numbers = image.mode, np.asarray(image)
    except (OSError, ValueError, SyntaxError) as error:
        report.note("damaged-mask", file, "", f"expected a PNG file, found: {error}")
        return list(objects)
    if mode not in ("P", "L") or numbers.shape != size:
        actual = f"{mode} of {numbers.shape[1]} x {numbers.shape[0]}"
        report.note("damaged-mask", file, "", f"expected a palette image of {size[1]} x {size[0]}, found {actual}")
        return list(objects)
    masked = []
    for instance in objects:
        mask = _read_mask(instance, numbers, file, report)
        masked.append(instance._replace(has_mask=instance.has_mask or mask is not None, mask=mask))
    return masked


def _read_mask(instance: LabeledObject, numbers: np.ndarray, file: Path, report: Report) -> Mask | None:
    """Return the mask of an object in an image of object numbers (h, w); None, after noting it, where it has none."""
    if instance.invalid_reason is not None:
        return None
    bitmap = numbers == int(instance.location.removeprefix("object "))
    count = np.count_nonzero(bitmap)
    x1, y1, x2, y2 = (max(0, round(corner)) for corner in instance.box)
    if np.count_nonzero(bitmap[y1:y2, x1:x2]) < max(_MIN_INSIDE * count, 1):
        actual = f"{count} pixels, most of them outside the box" if count else "none"
        report.note("damaged-mask", file, instance.location, f"expected pixels of {instance.name}, found {actual}")
        return None
    return encode(bitmap)
