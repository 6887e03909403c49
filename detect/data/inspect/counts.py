"""Counts the images, objects and classes of a data set."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from detect.data.annotations import Annotations

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class ClassCounts:
    """The counts of one class.

    images: the number of images that contain it; side: the median square root of its objects' areas, in pixels of the
    original images; ratio: the median height over width. Both are None if there are no objects.
    """

    name: str
    objects: int
    images: int
    side: float | None
    ratio: float | None


@dataclass(frozen=True)
class DatasetCounts:
    """The counts of a data set.

    sizes: (w, h) of the images with the number of images that have it, the most frequent first; widths, heights,
    objects_per_image, object_sides, object_ratios (height over width): the values at QUANTILES, None if there are no
    objects.
    """

    images: int
    without_objects: int
    objects: int
    difficult: int
    crowd: int
    dropped: int
    classes: tuple[ClassCounts, ...]
    sizes: tuple[tuple[tuple[int, int], int], ...]
    widths: tuple[float, ...]
    heights: tuple[float, ...]
    objects_per_image: tuple[float, ...]
    object_sides: tuple[float, ...] | None
    object_ratios: tuple[float, ...] | None


def count_dataset(annotations: Annotations) -> DatasetCounts:
    """Return the counts of a data set with at least one image."""
    counts = np.diff(annotations.offsets)
    image_index = np.repeat(np.arange(len(annotations)), counts)
    width, height = (annotations.boxes[:, 2:] - annotations.boxes[:, :2]).T
    side, ratio = np.sqrt(width * height), height / width
    classes = []
    for label, name in enumerate(annotations.classes, start=1):
        is_class = annotations.labels == label
        medians = (float(np.median(x[is_class])) if is_class.any() else None for x in (side, ratio))
        classes.append(ClassCounts(name, int(is_class.sum()), len(np.unique(image_index[is_class])), *medians))
    sizes = Counter((width, height) for height, width in annotations.sizes.tolist())
    return DatasetCounts(
        images=len(annotations),
        without_objects=int((counts == 0).sum()),
        objects=len(annotations.boxes),
        difficult=int(annotations.difficult.sum()),
        crowd=int(annotations.crowd.sum()),
        dropped=len(annotations.dropped),
        classes=tuple(sorted(classes, key=lambda class_counts: (-class_counts.objects, class_counts.name))),
        sizes=tuple(sizes.most_common()),
        widths=_quantiles(annotations.sizes[:, 1]),
        heights=_quantiles(annotations.sizes[:, 0]),
        objects_per_image=_quantiles(counts),
        object_sides=_quantiles(side) if len(side) else None,
        object_ratios=_quantiles(ratio) if len(side) else None,
    )


def _quantiles(values: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(value), 3) for value in np.quantile(values, QUANTILES))
