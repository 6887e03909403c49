"""When a box of an annotation file cannot be used."""

from __future__ import annotations

import math
from collections.abc import Sequence

from detect.types import Size


def flaw(corners: Sequence[float]) -> str | None:
    """Why ``x1 y1 x2 y2``, by the file's own numbers, is no box; None where it is one."""
    x1, y1, x2, y2 = corners
    if not all(map(math.isfinite, corners)):
        return f"a box that is not finite: {_listed(corners)}"
    if x2 <= x1 or y2 <= y1:
        return f"a box without extent: {_listed(corners)}"
    return None


def misplaced(box: Sequence[float], size: Size) -> str | None:
    """Why a continuous ``x1 y1 x2 y2`` shows nothing of a picture of ``size``; None where they overlap."""
    x1, y1, x2, y2 = box
    height, width = size
    if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
        return f"a box outside its {width} x {height} picture: {_listed(box)}"
    return None


def _listed(numbers: Sequence[float]) -> str:
    return " ".join(f"{number:g}" for number in numbers)
