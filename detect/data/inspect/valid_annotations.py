"""The part of a survey that a model can be shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from detect.data.annotations import Annotations, DroppedBox, ImageAnnotation, pack
from detect.data.formats.records import flaw, misplaced
from detect.data.images import UnreadableImage, read_header
from detect.data.inspect.scan_records import SeenPhoto, Survey
from detect.errors import WorkError
from detect.types import Size


def usable(survey: Survey) -> Annotations:
    """Every photo that is there, with its boxes that have extent and show something of it; the rest is reported.

    Classes are those that the format lists, else the names found, sorted. Image ids are places from 1. Raises WorkError
    where no photo is left.
    """
    found = sorted({item.name for photo in survey.photos for item in photo.objects})
    listed = survey.classes or ()
    names = list(dict.fromkeys([*listed, *found]))
    labels = {name: label for label, name in enumerate(names, start=1)}
    dropped: list[DroppedBox] = []
    images: list[ImageAnnotation] = []
    for photo in survey.distinct_photos:
        size = _size(photo)
        if size is not None:
            images.append(_annotation(photo, size, len(images) + 1, labels, dropped, survey.format == "voc"))
    if not images:
        raise WorkError(f"{survey.root}: expected photos, found none of the {len(survey.photos)} that are named")
    return pack(images, names, dropped=dropped)


def skipped_photos(survey: Survey, found: Annotations) -> int:
    """How many photos are not among those ``usable`` found: not there, not readable without a size, or unlabelled."""
    named = {str(photo.image) for photo in survey.photos}
    unlabelled = {finding.file for finding in survey.findings if finding.kind == "unlabelled-photo"}
    return len(named) - len(found) + len(unlabelled - named)


def _size(photo: SeenPhoto) -> Size | None:
    """What the annotation tells, else the photo's own; None where there is no photo."""
    try:
        return photo.told if photo.told and Path(photo.image).is_file() else read_header(photo.image).size
    except UnreadableImage:
        return None


def _annotation(
    photo: SeenPhoto, size: Size, number: int, labels: dict[str, int], dropped: list[DroppedBox], inclusive: bool
) -> ImageAnnotation:
    """inclusive: whether corners are pixels, so that a box from a pixel to itself is none, as for VOC's reader."""
    objects = []
    for item in photo.objects:
        reason = flaw(item.written if inclusive else item.box) or misplaced(item.box, size)
        if reason is None:
            objects.append(item)
        else:
            dropped.append(DroppedBox(str(photo.labels), f"{item.where} ({item.name})", reason))
    boxes = np.asarray([item.box for item in objects], np.float64).reshape(-1, 4)
    return ImageAnnotation(
        file=str(photo.image),
        image_id=number,
        size=size,
        boxes=boxes,
        labels=np.asarray([labels[item.name] for item in objects], np.int64),
        difficult=np.asarray([item.difficult for item in objects], bool),
        crowd=np.asarray([item.crowd for item in objects], bool),
        areas=(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]),
    )
