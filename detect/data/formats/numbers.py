"""Corners as files write them, and back to the same float.

Files count from 1 (VOC) or in fractions of the picture (YOLO). Float arithmetic on the way out and in would move
corners by a unit in the last place, so that a data set that was converted would train to other weights. Here the
arithmetic is decimal and exact, and rounds once, to the float.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal, InvalidOperation

from detect.types import Size

# No float has more digits than these around its point, so that sums and products of a few floats are exact. Without
# traps what is beyond is infinite or NaN.
_EXACT = Context(prec=2000, traps=[])
_HALF = Decimal("0.5")


def number(text: str | None) -> float:
    """NaN where the text is missing or no number; 1_0 is none, though Python would read 10."""
    try:
        return float(text) if text is not None and "_" not in text else float("nan")
    except ValueError:
        return float("nan")


def minus_one(text: str | None) -> float:
    """The float nearest to the number less one; NaN where it is none."""
    return float("nan") if text is None else float(_EXACT.subtract(_decimal(text), Decimal(1)))


def plus_one(value: float) -> str:
    """The text of which ``minus_one`` gives ``value``."""
    return plain(_EXACT.add(Decimal(repr(value)), Decimal(1)))


def plain(value: float | Decimal) -> str:
    """The shortest text that reads back as the same float; whole numbers without a point."""
    return (repr(value) if isinstance(value, float) else str(value)).removesuffix(".0")


def from_centre(fields: Sequence[str], size: Size) -> tuple[float, float, float, float]:
    """YOLO's texts ``cx cy w h``, fractions of a picture of ``size`` (h, w), to x1 y1 x2 y2; NaN for what is no number.

    Rounded once: 0.5 1 is from 0 to the whole width for any width.
    """
    cx, cy, w, h = map(_decimal, fields)
    (x1, x2), (y1, y2) = _ends(cx, w, size[1]), _ends(cy, h, size[0])
    return x1, y1, x2, y2


def from_outline(fields: Sequence[str], size: Size) -> tuple[float, float, float, float]:
    """YOLO's texts ``x y x y ...`` of a polygon to the box around it; NaN where one is no number."""
    xs, ys = [_decimal(field) for field in fields[::2]], [_decimal(field) for field in fields[1::2]]
    if any(value.is_nan() for value in (*xs, *ys)):
        return (float("nan"),) * 4
    height, width = size
    x1, x2 = (float(_EXACT.multiply(end, Decimal(width))) for end in (min(xs), max(xs)))
    y1, y2 = (float(_EXACT.multiply(end, Decimal(height))) for end in (min(ys), max(ys)))
    return x1, y1, x2, y2


def to_centre(box: Sequence[float], size: Size) -> tuple[str, str, str, str]:
    """The texts ``cx cy w h`` of which ``from_centre`` gives ``box``, as short as they can be where that is short."""
    x1, y1, x2, y2 = box
    height, width = size
    (cx, w), (cy, h) = _centred(x1, x2, width), _centred(y1, y2, height)
    return cx, cy, w, h


def _ends(centre: Decimal, extent: Decimal, side: int) -> tuple[float, float]:
    half = _EXACT.multiply(extent, _HALF)
    first, last = _EXACT.subtract(centre, half), _EXACT.add(centre, half)
    return float(_EXACT.multiply(first, Decimal(side))), float(_EXACT.multiply(last, Decimal(side)))


def _centred(first: float, last: float, side: int) -> tuple[str, str]:
    """The shortest middle and extent that give the ends again; 19 digits of each end alone always do."""
    by = Decimal(side)
    low, high = Decimal(first), Decimal(last)
    for digits in range(1, 20):
        near = Context(prec=digits)
        middle = near.divide(_EXACT.multiply(_EXACT.add(low, high), _HALF), by)
        extent = near.divide(_EXACT.subtract(high, low), by)
        if _ends(middle, extent, side) == (first, last):
            return _short(middle), _short(extent)
    near = Context(prec=19)
    start, end = near.divide(low, by), near.divide(high, by)
    return _short(_EXACT.multiply(_EXACT.add(start, end), _HALF)), _short(_EXACT.subtract(end, start))


def _short(value: Decimal) -> str:
    return plain(_EXACT.normalize(value))


def _decimal(text: str) -> Decimal:
    """NaN where the text is no number."""
    try:
        return Decimal(text.strip()) if "_" not in text else Decimal("nan")
    except InvalidOperation:
        return Decimal("nan")
