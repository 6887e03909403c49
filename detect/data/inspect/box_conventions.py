"""Four numbers can be read as corners, as a corner and a size, or as a centre and a size: which one fits a data set.

A single box tells little, many tell much: of boxes written as ``x y width height``, half or more have no extent or
reach far outside their picture once they are read as corners, while all fit once they are read as they were meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from detect.data.inspect.findings import Finding
from detect.data.inspect.scan_records import Survey

READINGS = {"voc": "x1 y1 x2 y2", "csv": "x1 y1 x2 y2", "coco": "x y width height", "yolo": "cx cy width height"}
_LEAST_BOXES = 8
_FITS = 0.99  # of the boxes, at least, for a reading to be the one meant
_FAILS = 0.90  # of the boxes, at most, for the format's own not to be it
_SLACK = 0.01  # of the picture's side
_LEAST_EDGES = 5


def as_corners(numbers: np.ndarray, reading: str) -> np.ndarray:
    """Rows (B, 4) of numbers in one of READINGS to x1 y1 x2 y2."""
    first, second = numbers[:, :2], numbers[:, 2:]
    if reading == "x y width height":
        return np.concatenate([first, first + second], 1)
    if reading == "cx cy width height":
        return np.concatenate([first - second / 2, first + second / 2], 1)
    return numbers


def fitting(corners: np.ndarray, sides: np.ndarray) -> float:
    """The share of boxes (B, 4) that have extent and lie in their pictures of sides (B, 2), w and h."""
    ordered = (corners[:, 2:] > corners[:, :2]).all(1)
    inside = (corners[:, :2] >= -_SLACK * sides).all(1) & (corners[:, 2:] <= (1 + _SLACK) * sides).all(1)
    return float((ordered & inside).mean())


def misread(numbers: np.ndarray, sides: np.ndarray, own: str) -> str | None:
    """The reading that fits numbers (B, 4) where the format's ``own`` does not; None where there is no such."""
    if len(numbers) < _LEAST_BOXES or fitting(as_corners(numbers, own), sides) > _FAILS:
        return None
    shares = {other: fitting(as_corners(numbers, other), sides) for other in READINGS.values() if other != own}
    best = max(shares, key=lambda other: shares[other])
    return best if shares[best] >= _FITS else None


def check_readings(survey: Survey, numbers: np.ndarray, sides: np.ndarray) -> Iterator[Finding]:
    """numbers (B, 4) as they are written, sides (B, 2) of their pictures in the same unit."""
    own = READINGS[survey.format]
    meant = misread(numbers, sides, own)
    if meant is not None:
        share = fitting(as_corners(numbers, own), sides)
        found = f"read as {own}, {share:.0%} of {len(numbers)} boxes fit their pictures; read as {meant}, all do"
        yield Finding("misread-boxes", str(survey.root), "", found)


def check_edges(survey: Survey, corners: np.ndarray, sides: np.ndarray) -> Iterator[Finding]:
    """Where objects that the picture cuts off end: continuous corners (B, 4) at 0 and at the side (B, 2) itself.

    Corners counted from 1 begin at 1 and never at 0; inclusive ones counted from 0 end at the side less one and never
    at the side. VOC's numbers are judged one by one, as 0 cannot occur.
    """
    starts, ends = corners[:, :2], corners[:, 2:] - sides
    at = {"0": _near(starts, 0), "1": _near(starts, 1), "last": _near(ends, 0), "last - 1": _near(ends, -1)}
    words = None
    if at["1"] >= _LEAST_EDGES and at["0"] == 0 and at["last"] > 0:
        words = f"{at['1']} begin at 1 and none at 0: counted from 1; subtract 1 from x1 and y1"
    if at["last - 1"] >= _LEAST_EDGES and at["last"] == 0 and at["0"] > 0:
        words = f"{at['last - 1']} end a pixel before the picture does, none at its end: inclusive; add 1 to x2 and y2"
    if words is not None:
        yield Finding("shifted-corners", str(survey.root), "", f"of {len(corners)} boxes {words}")


def _near(values: np.ndarray, wanted: float) -> int:
    """How many are ``wanted``, but for what six decimals of a fraction lose."""
    return int((np.abs(values - wanted) < 0.05).sum())


def rows(values: Sequence[Sequence[float]], columns: int) -> np.ndarray:
    """(B, columns), with no values too."""
    return np.asarray(values, np.float64).reshape(-1, columns)
