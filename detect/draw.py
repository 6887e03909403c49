"""Detections and ground truth drawn on images: legible on any background, at any size of picture."""

from __future__ import annotations

import colorsys
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from detect.errors import UserError, nearest
from detect.system.files import write_bytes

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


_LEGIBLE = 320  # pixels: a picture whose longer side is shorter is enlarged
_GOLDEN = 0.618034  # of a turn: each hue falls into the widest gap that the hues before it left
_SHADES = ((0.80, 1.00), (0.95, 0.75), (0.45, 0.95))  # saturation and value, in turn
_GREY = (128, 128, 128)
_GAP = 8  # pixels between pictures on a sheet
_FORMATS = {".png": [cv2.IMWRITE_PNG_COMPRESSION, 4], ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 92]}


@dataclass(frozen=True)
class Marks:
    """What to draw on a picture: boxes (D, 4) in its pixels; labels, D integers in 1..K; scores, D in 0..1, or None."""

    boxes: np.ndarray
    labels: Sequence[int] | np.ndarray
    scores: Sequence[float] | np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.boxes.ndim != 2 or self.boxes.shape[1] != 4:
            raise ValueError(f"Marks.boxes: expected shape (D, 4), found {self.boxes.shape}")
        for name, values in (("labels", self.labels), ("scores", self.scores)):
            if values is not None and len(values) != len(self.boxes):
                raise ValueError(f"Marks.{name}: expected {len(self.boxes)}, found {len(values)}")

    def best_first(self) -> list[int]:
        """The places of the boxes by falling score; as they come where there are no scores."""
        if self.scores is None:
            return list(range(len(self.boxes)))
        return [int(i) for i in np.argsort(-np.asarray(self.scores, np.float64), kind="stable")]

    def text(self, i: int, classes: Sequence[str]) -> str:
        """``dog 0.98``, or ``dog`` without scores."""
        name = classes[int(self.labels[i]) - 1]
        return name if self.scores is None else f"{name} {float(self.scores[i]):.2f}"


def class_colour(label: int) -> Colour:
    """The RGB colour of a class, always the same and unlike its neighbours'; grey for 0, the background."""
    if label == 0:
        return _GREY
    saturation, value = _SHADES[(label - 1) % len(_SHADES)]
    red, green, blue = colorsys.hsv_to_rgb((label - 1) * _GOLDEN % 1, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_detections(rgb: np.ndarray, marks: Marks, classes: Sequence[str]) -> np.ndarray:
    """A picture (h, w, 3) uint8 RGB with the boxes and ``class score`` captions of ``marks``, as a new array.

    classes: the K names, label 1 first. A picture whose longer side is under 320 pixels comes back enlarged by a whole
    number. Boxes are clipped to the picture. The best score lies in front; without scores, the first.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"expected a picture (h, w, 3) of uint8, found {rgb.shape} of {rgb.dtype}")
    scale = max(1, math.ceil(_LEGIBLE / max(rgb.shape[:2])))
    image = Image.fromarray(cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC))
    line, letters = max(2, round(max(image.size) / 300)), max(12, round(max(image.size) / 55))
    frames: dict[int, Rectangle] = {}
    captions: dict[int, Caption] = {}
    for i in marks.best_first():
        frames[i] = _frame(marks.boxes[i] * scale, image.size)
        taken = [caption.at for caption in captions.values()]
        captions[i] = place(marks.text(i, classes), frames[i], image.size, taken, letters)
    pen = ImageDraw.Draw(image, "RGBA")
    for i in reversed(frames):
        _outline(pen, frames[i], class_colour(int(marks.labels[i])), line)
    for i in reversed(captions):
        write(pen, captions[i], class_colour(int(marks.labels[i])))
    return np.asarray(image)


def draw_targets_beside(
    rgb: np.ndarray,
    targets: Marks,
    detections: Marks,
    classes: Sequence[str],
    titles: tuple[str, str] = ("ground truth", "detections"),
) -> np.ndarray:
    """The picture twice, side by side under two titles: once with what is there, once with what was found."""
    drawn = (draw_detections(rgb, targets, classes), draw_detections(rgb, detections, classes))
    return contact_sheet([_titled(picture, title) for picture, title in zip(drawn, titles, strict=True)], columns=2)


def contact_sheet(images: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Pictures (h, w, 3) uint8 of any sizes in rows of ``columns``, each in the middle of its cell, on white."""
    if not images or columns < 1:
        raise ValueError(f"expected pictures and columns, found {len(images)} and {columns}")
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    height, width = (max(image.shape[axis] for image in images) + _GAP for axis in (0, 1))
    sheet = np.full((rows * height + _GAP, columns * width + _GAP, 3), 255, np.uint8)
    for i, image in enumerate(images):
        top = _GAP + i // columns * height + (height - _GAP - image.shape[0]) // 2
        left = _GAP + i % columns * width + (width - _GAP - image.shape[1]) // 2
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet


def save_image(path: Path, rgb: np.ndarray) -> None:
    """Write a picture (h, w, 3) uint8 RGB whole or not at all, as the suffix says: .png or .jpg (.jpeg)."""
    suffix = ".jpg" if path.suffix.lower() == ".jpeg" else path.suffix.lower()
    if suffix not in _FORMATS:
        raise UserError(f'{path}: expected .png or .jpg, found "{path.suffix}"{nearest(suffix, _FORMATS)}')
    done, content = cv2.imencode(suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), _FORMATS[suffix])
    if not done:
        raise UserError(f"{path}: a picture of {rgb.shape[1]}x{rgb.shape[0]} pixels cannot be written as {suffix}")
    write_bytes(path, content.tobytes())


def _frame(box: np.ndarray, picture: tuple[int, int]) -> Rectangle:
    """A box of continuous pixels as whole ones in a picture of (width, height), at least one wide and high."""
    width, height = picture
    x1, y1 = min(max(round(float(box[0])), 0), width - 1), min(max(round(float(box[1])), 0), height - 1)
    return x1, y1, min(max(round(float(box[2])), x1 + 1), width), min(max(round(float(box[3])), y1 + 1), height)


def _outline(pen: ImageDraw.ImageDraw, frame: Rectangle, colour: Colour, line: int) -> None:
    """A rectangle with a dark rim, so that it shows on a background of its own colour."""
    x1, y1, x2, y2 = frame
    pen.rectangle((x1 - 1, y1 - 1, x2, y2), outline=(0, 0, 0, 150), width=line + 2)
    pen.rectangle((x1, y1, x2 - 1, y2 - 1), outline=colour, width=line)


def _titled(picture: np.ndarray, title: str) -> np.ndarray:
    """The picture under a line of text on white."""
    size = max(14, round(max(picture.shape[:2]) / 35))
    strip = Image.new("RGB", (picture.shape[1], 2 * size), "white")
    ImageDraw.Draw(strip).text((strip.width / 2, size), title, fill="black", font=font(size), anchor="mm")
    return np.concatenate([np.asarray(strip), picture])


QUALITY = 72


def encoded(rgb: np.ndarray, longest: int) -> bytes:
    """A picture (h, w, 3) uint8 as JPEG, its longer side at most ``longest`` pixels."""
    height, width = rgb.shape[:2]
    scale = min(1.0, longest / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    done, content = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError(f"expected a picture that JPEG holds, found {small.shape}")
    return content.tobytes()
