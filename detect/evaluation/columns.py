"""What a scorer compares: ground truth and detections as columns, as the scorer's own files hold them.

A scorer looks at one class of one image at a time: that is a group here, numbered class * images + image, so that
everything of a class lies together and, within it, everything of an image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from detect.evaluation.predictions import FlatPredictions, Prediction, flatten

if TYPE_CHECKING:
    from detect.data.annotations import Annotations

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Boxes:
    """corners (N, 4) x1 y1 x2 y2 in continuous pixels; areas (N,), width times height in square pixels."""

    corners: Floats
    areas: Floats

    def __getitem__(self, chosen: Places | Flags | slice) -> Boxes:
        return Boxes(self.corners[chosen], self.areas[chosen])


def from_corners(corners: Floats) -> Boxes:
    """Boxes given as x1 y1 x2 y2."""
    return Boxes(corners, (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1]))


def from_sides(xywh: Floats) -> Boxes:
    """Boxes given as x y width height: the far corner is rounded, the area is of the sides as they were given."""
    return Boxes(np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1), xywh[:, 2] * xywh[:, 3])


@dataclass(frozen=True)
class Truth:
    """G ground-truth boxes, ordered by group, within it as the data has them.

    groups (G,); boxes; areas (G,): the annotation's own, which may be a mask's; lenient (G,): difficult or a crowd, to
    be neither found nor missed.
    """

    groups: Places
    boxes: Boxes
    areas: Floats
    lenient: Flags


@dataclass(frozen=True)
class Found:
    """D detections, ordered by group, within it best first, equal scores as given.

    groups (D,); ranks (D,): the place in the group, from 0; boxes; scores (D,).
    """

    groups: Places
    ranks: Places
    boxes: Boxes
    scores: Floats


@dataclass(frozen=True)
class Case:
    """Everything that is scored."""

    images: int
    classes: int
    truth: Truth
    found: Found

    def limited(self, limit: int | None) -> Case:
        """With the best ``limit`` detections of each class in each image (None: all)."""
        if limit is None:
            return self
        kept, found = self.found.ranks < limit, self.found
        return Case(
            self.images,
            self.classes,
            self.truth,
            Found(found.groups[kept], found.ranks[kept], found.boxes[kept], found.scores[kept]),
        )

    def of_class(self, groups: Places) -> list[slice]:
        """Where each class lies in columns ordered by ``groups``."""
        edges = np.searchsorted(groups, np.arange(self.classes + 1) * self.images).tolist()
        return [slice(start, end) for start, end in pairwise(edges)]


def make_case(images: int, classes: int, truth: Truth, groups: Places, boxes: Boxes, scores: Floats) -> Case:
    """Columns in any order of groups, put in order; the last three are the detections'."""
    rows = np.argsort(truth.groups, kind="stable")
    ordered = Truth(truth.groups[rows], truth.boxes[rows], truth.areas[rows], truth.lenient[rows])
    best = np.lexsort((-scores, groups))
    groups = groups[best]
    return Case(images, classes, ordered, Found(groups, places_within(groups), boxes[best], scores[best]))


def places_within(groups: Places) -> Places:
    """The place of each row among those of its group, from 0; ``groups`` ascend: [4, 4, 7] -> [0, 1, 0]."""
    rows = np.arange(len(groups))
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    return rows - np.repeat(starts, np.diff(starts, append=len(groups)))


Layout = Callable[["Annotations", Sequence[Prediction]], Case]


def as_given(annotations: Annotations, predictions: Sequence[Prediction]) -> Case:
    """Nothing rounded; images in the order of the data."""
    return _lay_out(annotations, flatten(predictions), np.arange(len(annotations)), from_corners)


def as_py_faster_rcnn_writes(annotations: Annotations, predictions: Sequence[Prediction]) -> Case:
    """From result files whose scores have 3 decimals and boxes 1 (its pascal_voc.py): detections tie and move."""
    found = flatten(predictions)
    rounded = FlatPredictions(found.images, found.boxes.round(1), found.scores.round(3), found.labels)
    return _lay_out(annotations, rounded, np.arange(len(annotations)), from_corners)


def as_coco_files(annotations: Annotations, predictions: Sequence[Prediction]) -> Case:
    """Boxes as x y width height; images in the order of their ids."""
    places = np.argsort(np.argsort(annotations.image_ids))
    return _lay_out(annotations, flatten(predictions), places, lambda corners: from_sides(_sides(corners)))


def _lay_out(
    annotations: Annotations, found: FlatPredictions, places: Places, boxes: Callable[[Floats], Boxes]
) -> Case:
    """places (N,): the rank of each image."""
    images = len(annotations)
    truth = Truth(
        groups=(annotations.labels - 1) * images + np.repeat(places, np.diff(annotations.offsets)),
        boxes=boxes(annotations.boxes),
        areas=annotations.areas,
        lenient=annotations.difficult | annotations.crowd,
    )
    groups = (found.labels - 1) * images + places[found.images]
    return make_case(images, len(annotations.classes), truth, groups, boxes(found.boxes), found.scores)


def _sides(corners: Floats) -> Floats:
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
