"""Finds the box convention of a data set: two corners, a corner and a size, or a center and a size.

One box says little, many say much. If boxes written as ``x y width height`` are read as corners, half or more of them
have no extent or extend far beyond their image. Read in the right convention, all of them fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from detect.data.findings import DatasetFinding
from detect.data.formats.labeled_folder import LabeledFolder

BOX_CONVENTIONS = {
    "voc": "x1 y1 x2 y2",
    "csv": "x1 y1 x2 y2",
    "labelme": "x1 y1 x2 y2",
    "cvat": "x1 y1 x2 y2",
    "label-studio": "x1 y1 x2 y2",
    "coco": "x y width height",
    "yolo": "cx cy width height",
}
_MIN_BOXES = 8
_MIN_FIT_OF_OTHER = 0.99  # the fraction of boxes from which another convention is taken for the right one
_MAX_FIT_OF_FORMAT = 0.90  # the fraction of boxes up to which the format's convention is taken for the wrong one
_TOLERANCE = 0.01  # as a fraction of the image's side
_MIN_EDGE_BOXES = 5


def to_corners(numbers: np.ndarray, convention: str) -> np.ndarray:
    """Convert numbers (B, 4) in one of BOX_CONVENTIONS to x1 y1 x2 y2 (B, 4)."""
    first, second = numbers[:, :2], numbers[:, 2:]
    if convention == "x y width height":
        return np.concatenate([first, first + second], 1)
    if convention == "cx cy width height":
        return np.concatenate([first - second / 2, first + second / 2], 1)
    return numbers


def fraction_that_fits(corners: np.ndarray, image_sides: np.ndarray) -> float:
    """Return the fraction of boxes (B, 4) that have extent and lie in their images, whose sides (B, 2) are w and h."""
    ordered = (corners[:, 2:] > corners[:, :2]).all(1)
    inside = (corners[:, :2] >= -_TOLERANCE * image_sides).all(1) & (
        corners[:, 2:] <= (1 + _TOLERANCE) * image_sides
    ).all(1)
    return float((ordered & inside).mean())


def find_better_convention(numbers: np.ndarray, image_sides: np.ndarray, convention: str) -> str | None:
    """Return the convention that fits numbers (B, 4), if the given one does not fit them; None if there is none.

    image_sides (B, 2): w and h of the images, in the unit of the numbers.
    """
    if (
        len(numbers) < _MIN_BOXES
        or fraction_that_fits(to_corners(numbers, convention), image_sides) > _MAX_FIT_OF_FORMAT
    ):
        return None
    fractions = {
        other: fraction_that_fits(to_corners(numbers, other), image_sides)
        for other in BOX_CONVENTIONS.values()
        if other != convention
    }
    best = max(fractions, key=lambda other: fractions[other])
    return best if fractions[best] >= _MIN_FIT_OF_OTHER else None


def check_convention(folder: LabeledFolder, numbers: np.ndarray, image_sides: np.ndarray) -> Iterator[DatasetFinding]:
    """Check whether boxes follow the convention of their format.

    numbers (B, 4): as they are written; image_sides (B, 2): w and h of the images, in the same unit.
    """
    convention = BOX_CONVENTIONS[folder.format]
    better = find_better_convention(numbers, image_sides, convention)
    if better is not None:
        fraction = fraction_that_fits(to_corners(numbers, convention), image_sides)
        message = (
            f"read as {convention}, {fraction:.0%} of {len(numbers)} boxes fit their images; read as {better}, all do"
        )
        yield DatasetFinding("misread-boxes", str(folder.root), "", message)


def check_edge_offsets(folder: LabeledFolder, corners: np.ndarray, image_sides: np.ndarray) -> Iterator[DatasetFinding]:
    """Check where boxes end that the image border cuts off.

    Continuous corners (B, 4) begin at 0 and end at the side (B, 2) itself. Corners counted from 1 begin at 1 and never
    at 0. Inclusive corners counted from 0 end at the side minus one and never at the side. VOC's numbers are checked
    one by one instead, because 0 cannot occur in them.
    """
    starts, ends = corners[:, :2], corners[:, 2:] - image_sides
    at_0, at_1, at_end, at_last = (
        _count_near(starts, 0),
        _count_near(starts, 1),
        _count_near(ends, 0),
        _count_near(ends, -1),
    )
    description = None
    if at_1 >= _MIN_EDGE_BOXES and at_0 == 0 and at_end > 0:
        description = f"{at_1} begin at 1 and none at 0: counted from 1; subtract 1 from x1 and y1"
    if at_last >= _MIN_EDGE_BOXES and at_end == 0 and at_0 > 0:
        description = f"{at_last} end a pixel before the image does, none at its end: inclusive; add 1 to x2 and y2"
    if description is not None:
        yield DatasetFinding("shifted-corners", str(folder.root), "", f"of {len(corners)} boxes {description}")


def _count_near(values: np.ndarray, target: float) -> int:
    """Return how many values equal ``target``, up to the error of a fraction with six decimals."""
    return int((np.abs(values - target) < 0.05).sum())


def as_rows(values: Sequence[Sequence[float]], columns: int) -> np.ndarray:
    """Return the values as float64 (B, columns), also without any values."""
    return np.asarray(values, np.float64).reshape(-1, columns)
