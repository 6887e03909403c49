"""Slices of large images to train on: each is an image of its own with the objects that it shows enough of.

The pixels are cut when a slice is loaded, so that nothing is written; each slice reads its whole image file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from detect.data.annotations import Annotations, ImageAnnotation
from detect.data.loading.crop_boxes import box_areas, clip_to_window, is_shown
from detect.ops.slices import Window, slice_windows
from detect.system.randomness import numpy_generator
from detect.types import Size


@dataclass(frozen=True)
class TrainingSlices:
    """The slices of an image: slice_size (h, w) in its pixels; overlap: the fraction that adjacent ones share.

    min_visibility: an object is in a slice, with its box cut, if this fraction of its area in the image is, and a crowd
    if any part of it is; empty: the number of slices without objects other than crowds, as a fraction of those with
    some; whole: whether the whole image is trained on too.
    """

    slice_size: Size
    overlap: float
    min_visibility: float
    empty: float
    whole: bool


def slice_annotations(annotations: Annotations, slices: TrainingSlices, seed: int) -> Annotations:
    """Return a data set of the slices of all images; an image that is no larger than a slice stays as it is.

    Slices have image ids of their own, so that each is augmented differently. Which empty ones remain is drawn with
    the seed.
    """
    images: list[ImageAnnotation] = []
    parts: list[ImageAnnotation] = []
    for index in range(len(annotations)):
        image = annotations[index]
        windows = slice_windows(image.size, slices.slice_size, slices.overlap)
        if slices.whole or len(windows) == 1:
            images.append(image)
        parts += [_cut(image, window, slices.min_visibility) for window in windows if len(windows) > 1]
    is_empty = [bool(part.crowd.all()) for part in parts]
    empty = np.flatnonzero(is_empty)
    count = min(len(empty), round(slices.empty * (len(parts) - len(empty))))
    drawn = set(numpy_generator(seed, "empty slices").permutation(empty)[:count].tolist())
    remaining = [part for i, part in enumerate(parts) if not is_empty[i] or i in drawn]
    first_id = int(annotations.image_ids.max(initial=0)) + 1
    images += [replace(part, image_id=first_id + i) for i, part in enumerate(remaining)]
    return Annotations.from_images(images, annotations.classes, annotations.category_ids.tolist(), annotations.dropped)


def count_unshown(annotations: Annotations, slices: TrainingSlices) -> int:
    """Return the number of objects, without crowds, in cut images that no slice shows enough of.

    Only a whole image has them.
    """
    count = 0
    for index in range(len(annotations)):
        image = annotations[index]
        windows = slice_windows(image.size, slices.slice_size, slices.overlap)
        if len(windows) > 1:
            shown = [_is_shown(image, window, slices.min_visibility) for window in windows]
            count += int((~np.logical_or.reduce(shown) & ~image.crowd).sum())
    return count


def _is_shown(image: ImageAnnotation, window: Window, min_visibility: float) -> np.ndarray:
    """Return which objects (N,) of an image a window shows enough of, bool, of their parts inside the image."""
    height, width = image.size
    return is_shown(clip_to_window(image.boxes, (0, 0, width, height)), image.crowd, window, min_visibility)


def _cut(image: ImageAnnotation, window: Window, min_visibility: float) -> ImageAnnotation:
    """Return the slice of an image with the objects that it shows enough of."""
    x1, y1, x2, y2 = window
    keep = _is_shown(image, window, min_visibility)
    boxes = clip_to_window(image.boxes[keep], window)
    return ImageAnnotation(
        file=image.file,
        image_id=image.image_id,
        size=(y2 - y1, x2 - x1),
        boxes=boxes,
        labels=image.labels[keep],
        difficult=image.difficult[keep],
        crowd=image.crowd[keep],
        areas=np.minimum(image.areas[keep], box_areas(boxes)),
        masks=None if image.masks is None else image.masks.select(keep),
        window=window,
        occluded=None if image.occluded is None else image.occluded[keep],
        truncated=None if image.truncated is None else image.truncated[keep],
    )
