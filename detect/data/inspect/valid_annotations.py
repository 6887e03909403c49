"""The part of a survey that a model can be shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from detect.data.annotations import Annotations, DroppedBox, ImageAnnotation, pack
from detect.data.formats.records import flaw, misplaced
from detect.data.images import UnreadableImage, read_header
from detect.data.inspect.scan_records import SeenImage, Survey
from detect.errors import WorkError
from detect.types import Size


def usable(survey: Survey) -> Annotations:
    """Every image that is there, with its boxes that have extent and show something of it; the rest is reported.

    Classes are those that the format lists, else the names found, sorted. Image ids are places from 1. Raises WorkError
    where no image is left.
    """
    found = sorted({item.name for image in survey.images for item in image.objects})
    listed = survey.classes or ()
    names = list(dict.fromkeys([*listed, *found]))
    labels = {name: label for label, name in enumerate(names, start=1)}
    dropped: list[DroppedBox] = []
    images: list[ImageAnnotation] = []
    for image in survey.distinct_images:
        size = _size(image)
        if size is not None:
            images.append(_annotation(image, size, len(images) + 1, labels, dropped, survey.format == "voc"))
    if not images:
        raise WorkError(f"{survey.root}: expected images, found none of the {len(survey.images)} that are named")
    return pack(images, names, dropped=dropped)


def skipped_images(survey: Survey, found: Annotations) -> int:
    """How many images are not among those ``usable`` found: not there, not readable without a size, or unlabelled."""
    named = {str(image.image) for image in survey.images}
    unlabelled = {finding.file for finding in survey.findings if finding.kind == "unlabelled-image"}
    return len(named) - len(found) + len(unlabelled - named)


def _size(image: SeenImage) -> Size | None:
    """What the annotation tells, else the image's own; None where there is no image."""
    try:
        return image.told if image.told and Path(image.image).is_file() else read_header(image.image).size
    except UnreadableImage:
        return None


def _annotation(
    image: SeenImage, size: Size, number: int, labels: dict[str, int], dropped: list[DroppedBox], inclusive: bool
) -> ImageAnnotation:
    """inclusive: whether corners are pixels, so that a box from a pixel to itself is none, as for VOC's reader."""
    objects = []
    for item in image.objects:
        reason = flaw(item.written if inclusive else item.box) or misplaced(item.box, size)
        if reason is None:
            objects.append(item)
        else:
            dropped.append(DroppedBox(str(image.labels), f"{item.where} ({item.name})", reason))
    boxes = np.asarray([item.box for item in objects], np.float64).reshape(-1, 4)
    return ImageAnnotation(
        file=str(image.image),
        image_id=number,
        size=size,
        boxes=boxes,
        labels=np.asarray([labels[item.name] for item in objects], np.int64),
        difficult=np.asarray([item.difficult for item in objects], bool),
        crowd=np.asarray([item.crowd for item in objects], bool),
        areas=(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]),
    )
