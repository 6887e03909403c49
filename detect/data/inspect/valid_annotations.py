"""Selects from a scanned folder the images and boxes that a model can be trained on."""

from __future__ import annotations

import numpy as np

from detect.data.annotations import Annotations, DroppedBox, ImageAnnotation
from detect.data.formats.records import invalid_box_reason, outside_reason
from detect.data.images import UnreadableImage, read_header
from detect.data.inspect.scan_records import FolderScan, RawImage
from detect.errors import RunError
from detect.types import Size


def valid_annotations(scan: FolderScan) -> Annotations:
    """Return every image that exists, with the boxes that have extent and overlap it. Other boxes are reported.

    The classes are those that the format lists, followed by the other names that occur, sorted. Image ids count from 1.
    Raises RunError if no image is left.
    """
    names = sorted({raw_object.name for image in scan.images for raw_object in image.objects})
    classes = list(dict.fromkeys([*(scan.classes or ()), *names]))
    labels = {name: label for label, name in enumerate(classes, start=1)}
    dropped: list[DroppedBox] = []
    images: list[ImageAnnotation] = []
    for image in scan.distinct_images:
        size = _size(image)
        if size is not None:
            images.append(_to_annotation(image, size, len(images) + 1, labels, dropped, scan.format == "voc"))
    if not images:
        raise RunError(f"{scan.root}: expected images, found none of the {len(scan.images)} that are named")
    return Annotations.from_images(images, classes, dropped=dropped)


def count_skipped(scan: FolderScan, annotations: Annotations) -> int:
    """Return the number of images that are not among the ``valid_annotations``.

    They do not exist, cannot be read and have no declared size, or are unlabelled.
    """
    named = {str(image.file) for image in scan.images}
    unlabelled = {finding.file for finding in scan.findings if finding.kind == "unlabelled-image"}
    return len(named) - len(annotations) + len(unlabelled - named)


def _size(image: RawImage) -> Size | None:
    """Return the declared size, or else the size of the image file; None if there is no image."""
    try:
        return image.declared_size if image.declared_size and image.file.is_file() else read_header(image.file).size
    except UnreadableImage:
        return None


def _to_annotation(
    image: RawImage, size: Size, image_id: int, labels: dict[str, int], dropped: list[DroppedBox], inclusive: bool
) -> ImageAnnotation:
    """Return the valid objects of an image as arrays, and append the others to ``dropped``.

    inclusive: corners are pixels, so that a box from a pixel to itself has no extent, as for VOC's reader.
    """
    objects = []
    for raw_object in image.objects:
        corners = raw_object.raw_numbers if inclusive else raw_object.box
        reason = invalid_box_reason(corners) or outside_reason(raw_object.box, size)
        if reason is None:
            objects.append(raw_object)
        else:
            location = f"{raw_object.location} ({raw_object.name})"
            dropped.append(DroppedBox(str(image.label_file), location, reason))
    boxes = np.asarray([raw_object.box for raw_object in objects], np.float64).reshape(-1, 4)
    return ImageAnnotation(
        file=str(image.file),
        image_id=image_id,
        size=size,
        boxes=boxes,
        labels=np.asarray([labels[raw_object.name] for raw_object in objects], np.int64),
        difficult=np.asarray([raw_object.difficult for raw_object in objects], bool),
        crowd=np.asarray([raw_object.crowd for raw_object in objects], bool),
        areas=(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]),
    )
