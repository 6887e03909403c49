"""Short texts on pictures: in black or white on a filled box, inside the picture, apart where there is room."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from PIL import ImageDraw, ImageFont

Colour = tuple[int, int, int]
Rectangle = tuple[int, int, int, int]  # x1 y1 x2 y2 of a picture's pixels, x2 and y2 beyond the last


@dataclass(frozen=True)
class Caption:
    """A text and the rectangle that it fills."""

    text: str
    at: Rectangle
    size: int


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans of ``size`` pixels, which matplotlib brings: Latin, Greek, Cyrillic and more."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def text_colour(fill: Colour) -> Colour:
    """Black or white, whichever has the higher contrast on ``fill`` (WCAG 2.1, relative luminance)."""
    red, green, blue = (_linear(part / 255) for part in fill)
    return (0, 0, 0) if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 else (255, 255, 255)


def place(text: str, frame: Rectangle, picture: tuple[int, int], taken: Sequence[Rectangle], size: int) -> Caption:
    """The caption of a frame on a picture of (width, height): above it, else in it, below it, at its right end.

    The first of these that covers least of the captions already ``taken``; a text wider than the picture is cut short.
    """
    letters = font(size)
    text = _shortened(text, letters, picture[0] - _pad(size) * 2)
    width = min(round(letters.getlength(text)) + 2 * _pad(size), picture[0])
    height = min(sum(letters.getmetrics()) + _pad(size), picture[1])
    x1, y1, x2, y2 = frame
    corners = ((x1, y1 - height), (x1, y1), (x1, y2), (x2 - width, y1 - height), (x2 - width, y1), (x2 - width, y2))
    inside = [(min(max(x, 0), picture[0] - width), min(max(y, 0), picture[1] - height)) for x, y in corners]
    spots = [(x, y, x + width, y + height) for x, y in inside]
    return Caption(text, min(spots, key=lambda spot: sum(_overlap(spot, other) for other in taken)), size)


def write(pen: ImageDraw.ImageDraw, caption: Caption, fill: Colour) -> None:
    """Fill the caption's rectangle and write its text."""
    x1, y1, x2, y2 = caption.at
    pen.rectangle((x1, y1, x2 - 1, y2 - 1), fill=fill)
    middle = (y1 + y2) / 2
    pen.text(
        (x1 + _pad(caption.size), middle), caption.text, fill=text_colour(fill), font=font(caption.size), anchor="lm"
    )


def _pad(size: int) -> int:
    return max(2, size // 4)


def _linear(part: float) -> float:
    """sRGB to linear light."""
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)


def _shortened(text: str, letters: ImageFont.FreeTypeFont, width: int) -> str:
    """The text, or as much of it as fits with an ellipsis."""
    text = " ".join(text.split())
    if letters.getlength(text) <= width:
        return text
    lengths = range(len(text) - 1, 0, -1)
    return next((text[:n] + "…" for n in lengths if letters.getlength(text[:n] + "…") <= width), "")


def _overlap(a: Rectangle, b: Rectangle) -> int:
    """Shared pixels."""
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
