"""The images that results are of, as photos or an annotation file list them, and the matching of results with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from detect.data.annotations import Annotations, ImageAnnotation
from detect.data.images import image_size
from detect.errors import UserError
from detect.evaluation.predictions import Prediction, align, empty_prediction
from detect.inference.result_readers import DetectionRow, to_prediction
from detect.types import Size


@dataclass(frozen=True)
class ListedImages:
    """The images that results are of: their paths, and their sizes (h, w).

    are_photos: whether the sizes are those of photos, upright. An annotation file may state others, as those of a photo
    before it is turned upright.
    """

    files: tuple[str, ...]
    sizes: tuple[Size, ...]
    are_photos: bool


def listed_images(paths: Sequence[Path]) -> ListedImages:
    """Return images with the sizes in their headers. Raises UnreadableImage for one that cannot be read."""
    return ListedImages(
        files=tuple(map(str, paths)),
        sizes=tuple(image_size(path) for path in paths),
        are_photos=True,
    )


def match_rows(images: ListedImages, by_file: Mapping[str, list[DetectionRow]]) -> list[Prediction]:
    """Return a Prediction for each image; UserError for a file that is none, or two that are the same one."""
    predictions = [to_prediction(file, (1, 1), rows) for file, rows in by_file.items()]
    aligned = align(without_objects(images, ()), predictions)
    return [
        replace(prediction, file=file, width=width, height=height)
        for prediction, file, (height, width) in zip(aligned, images.files, images.sizes, strict=True)
    ]


def match_predictions(source: Path, images: ListedImages | None, predictions: Sequence[Prediction]) -> list[Prediction]:
    """Return the predictions in the order of the images, with their paths; as they are without images.

    An image without detections has the listed size. Raises UserError for a photo of another size than that of its
    detections, whose boxes would be elsewhere.
    """
    if images is None:
        return list(predictions)
    listed = []
    aligned = align(without_objects(images, ()), predictions)
    for prediction, file, (height, width) in zip(aligned, images.files, images.sizes, strict=True):
        if not len(prediction):
            prediction = replace(prediction, width=width, height=height)
        elif images.are_photos and (prediction.width, prediction.height) != (width, height):
            raise UserError(
                f"{file}: expected {prediction.width} x {prediction.height} pixels, as {source} has for "
                f"{prediction.file}, found {width} x {height}: give the photos that were detected on"
            )
        listed.append(replace(prediction, file=file))
    return listed


def without_objects(images: ListedImages, classes: Sequence[str]) -> Annotations:
    """Return the images as a data set without objects, which is what names are matched with."""
    none = empty_prediction("", (0, 0))
    flags = np.zeros(0, bool)
    return Annotations.from_images(
        [
            ImageAnnotation(file, index, size, none.boxes, none.labels, flags, flags, np.zeros(0))
            for index, (file, size) in enumerate(zip(images.files, images.sizes, strict=True), 1)
        ],
        classes,
    )
