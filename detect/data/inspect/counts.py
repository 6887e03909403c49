"""How much of what a data set holds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from detect.data.annotations import Annotations

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class ClassTally:
    """images: how many show it; side: the middle square root of its areas, in pixels of the original, and ratio its
    middle height over width; both None without objects."""

    name: str
    objects: int
    images: int
    side: float | None
    ratio: float | None


@dataclass(frozen=True)
class Tally:
    """What is counted. Spreads are the values at QUANTILES; None where there is nothing to spread.

    sizes: (w, h) of images with how many have it, commonest first; ratios: height over width.
    """

    images: int
    without_objects: int
    objects: int
    difficult: int
    crowd: int
    dropped: int
    classes: tuple[ClassTally, ...]
    sizes: tuple[tuple[tuple[int, int], int], ...]
    widths: tuple[float, ...]
    heights: tuple[float, ...]
    objects_per_image: tuple[float, ...]
    object_sides: tuple[float, ...] | None
    object_ratios: tuple[float, ...] | None


def tally(annotations: Annotations) -> Tally:
    """Count a data set of one image or more."""
    counts = np.diff(annotations.offsets)
    image = np.repeat(np.arange(len(annotations)), counts)
    width, height = (annotations.boxes[:, 2:] - annotations.boxes[:, :2]).T
    side, ratio = np.sqrt(width * height), height / width
    classes = []
    for label, name in enumerate(annotations.classes, start=1):
        of = annotations.labels == label
        there = bool(of.any())
        middle = (float(np.median(side[of])), float(np.median(ratio[of]))) if there else (None, None)
        classes.append(ClassTally(name, int(of.sum()), len(np.unique(image[of])), *middle))
    sizes = Counter((width, height) for height, width in annotations.sizes.tolist())
    return Tally(
        images=len(annotations),
        without_objects=int((counts == 0).sum()),
        objects=len(annotations.boxes),
        difficult=int(annotations.difficult.sum()),
        crowd=int(annotations.crowd.sum()),
        dropped=len(annotations.dropped),
        classes=tuple(sorted(classes, key=lambda one: (-one.objects, one.name))),
        sizes=tuple(sizes.most_common()),
        widths=_spread(annotations.sizes[:, 1]),
        heights=_spread(annotations.sizes[:, 0]),
        objects_per_image=_spread(counts),
        object_sides=_spread(side) if len(side) else None,
        object_ratios=_spread(ratio) if len(side) else None,
    )


def _spread(values: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(value), 3) for value in np.quantile(values, QUANTILES))
