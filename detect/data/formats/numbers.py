"""Exact conversion of box corners between text and float.

Files count pixels from 1 (VOC) or use fractions of the image (YOLO). Float arithmetic in both directions would move
corners by a unit in the last place, so that training on a converted data set would give different weights. Here the
arithmetic is decimal and exact, and rounds once, to the float.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal, InvalidOperation

from detect.types import Size

# No float has more digits, so sums and products of a few floats are exact. Without traps, results beyond the range are
# infinite or NaN.
_EXACT = Context(prec=2000, traps=[])
_HALF = Decimal("0.5")


def parse_float(text: str | None) -> float:
    """Return the number in a text; NaN if it is missing or no number. 1_0 is none, though Python would read 10."""
    try:
        return float(text) if text is not None and "_" not in text else float("nan")
    except ValueError:
        return float("nan")


def parse_minus_one(text: str | None) -> float:
    """Return the float nearest to the number in the text minus one; NaN if it is no number."""
    return float("nan") if text is None else float(_EXACT.subtract(_parse_decimal(text), Decimal(1)))


def format_plus_one(value: float) -> str:
    """Return the text for which ``parse_minus_one`` returns ``value``."""
    return format_float(_EXACT.add(Decimal(repr(value)), Decimal(1)))


def format_float(value: float | Decimal) -> str:
    """Return the shortest text that reads back as the same float; integers have no decimal point."""
    return (repr(value) if isinstance(value, float) else str(value)).removesuffix(".0")


def parse_center_box(fields: Sequence[str], size: Size) -> tuple[float, float, float, float]:
    """Return x1 y1 x2 y2 of YOLO's texts ``cx cy w h``, which are fractions of an image of ``size`` (h, w).

    The corners are rounded once: center 0.5 and width 1 span 0 to the full width for any width. What is no number gives
    NaN.
    """
    cx, cy, w, h = map(_parse_decimal, fields)
    (x1, x2), (y1, y2) = _endpoints(cx, w, size[1]), _endpoints(cy, h, size[0])
    return x1, y1, x2, y2


def parse_polygon_box(fields: Sequence[str], size: Size) -> tuple[float, float, float, float]:
    """Return the box x1 y1 x2 y2 around YOLO's texts ``x y x y ...`` of a polygon; NaN where one is no number."""
    xs, ys = [_parse_decimal(field) for field in fields[::2]], [_parse_decimal(field) for field in fields[1::2]]
    if any(value.is_nan() for value in (*xs, *ys)):
        return (float("nan"),) * 4
    height, width = size
    x1, x2 = (float(_EXACT.multiply(end, Decimal(width))) for end in (min(xs), max(xs)))
    y1, y2 = (float(_EXACT.multiply(end, Decimal(height))) for end in (min(ys), max(ys)))
    return x1, y1, x2, y2


def parse_fractions(fields: Sequence[str], size: Size) -> tuple[float, float, float, float]:
    """Return x1 y1 x2 y2 in pixels of the same in fractions of an image of ``size`` (h, w); each is rounded once."""
    height, width = size
    sides = (width, height, width, height)
    x1, y1, x2, y2 = (
        float(_EXACT.multiply(_parse_decimal(field), Decimal(side))) for field, side in zip(fields, sides, strict=True)
    )
    return x1, y1, x2, y2


def parse_fraction(text: str, side: int) -> float:
    """Return the pixels of a fraction of ``side``, rounded once."""
    return float(_EXACT.multiply(_parse_decimal(text), Decimal(side)))


def format_center_box(box: Sequence[float], size: Size) -> tuple[str, str, str, str]:
    """Return the texts ``cx cy w h`` for which ``parse_center_box`` returns ``box``.

    They are as short as possible if up to 19 digits suffice.
    """
    x1, y1, x2, y2 = box
    height, width = size
    (cx, w), (cy, h) = _center_and_extent(x1, x2, width), _center_and_extent(y1, y2, height)
    return cx, cy, w, h


def format_fraction(pixels: float, side: int) -> str:
    """Return the shortest text of at most 19 digits whose product with ``side`` rounds to ``pixels``."""
    for digits in range(1, 20):
        fraction = Context(prec=digits).divide(Decimal(pixels), Decimal(side))
        if float(_EXACT.multiply(fraction, Decimal(side))) == pixels:
            break
    return _format_decimal(fraction)


def _endpoints(center: Decimal, extent: Decimal, side: int) -> tuple[float, float]:
    """Return both ends, in pixels, of an interval with this center and extent as fractions of ``side``."""
    half = _EXACT.multiply(extent, _HALF)
    first, last = _EXACT.subtract(center, half), _EXACT.add(center, half)
    return float(_EXACT.multiply(first, Decimal(side))), float(_EXACT.multiply(last, Decimal(side)))


def _center_and_extent(first: float, last: float, side: int) -> tuple[str, str]:
    """Return the shortest center and extent that give these ends again; 19 digits of each end always do."""
    divisor = Decimal(side)
    low, high = Decimal(first), Decimal(last)
    for digits in range(1, 20):
        rounding = Context(prec=digits)
        center = rounding.divide(_EXACT.multiply(_EXACT.add(low, high), _HALF), divisor)
        extent = rounding.divide(_EXACT.subtract(high, low), divisor)
        if _endpoints(center, extent, side) == (first, last):
            return _format_decimal(center), _format_decimal(extent)
    rounding = Context(prec=19)
    start, end = rounding.divide(low, divisor), rounding.divide(high, divisor)
    return _format_decimal(_EXACT.multiply(_EXACT.add(start, end), _HALF)), _format_decimal(_EXACT.subtract(end, start))


def _format_decimal(value: Decimal) -> str:
    """Return the shortest text of a decimal number."""
    return format_float(_EXACT.normalize(value))


def _parse_decimal(text: str) -> Decimal:
    """Return the decimal number in a text; NaN if it is no number."""
    try:
        return Decimal(text.strip()) if "_" not in text else Decimal("nan")
    except InvalidOperation:
        return Decimal("nan")
