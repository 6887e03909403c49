"""Drawing of detections and ground truth on images, legible on any background and at any image size."""

from __future__ import annotations

import colorsys
import functools
import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from detect.errors import UserError, did_you_mean
from detect.system.files import write_bytes

Color = tuple[int, int, int]
Rectangle = tuple[int, int, int, int]  # x1 y1 x2 y2 in whole pixels of an image, x2 and y2 exclusive
_MIN_SIDE = 320  # pixels: an image whose longer side is shorter is enlarged
_GOLDEN_RATIO = 0.618034  # of the color wheel: each hue falls into the widest gap between the earlier hues
_SHADES = ((0.80, 1.00), (0.95, 0.75), (0.45, 0.95))  # saturation and value, used in rotation
_GRAY = (128, 128, 128)
_GAP = 8  # pixels between the images of a grid
_FORMATS = {".png": [cv2.IMWRITE_PNG_COMPRESSION, 4], ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 92]}
JPEG_QUALITY = 72


@dataclass(frozen=True)
class LabeledBoxes:
    """Boxes to draw on an image.

    boxes (D, 4) in its pixels; labels: D integers in 1..K; scores: D in 0..1, or None; masks: D bitmaps (h, w) bool of
    the image, or None.
    """

    boxes: np.ndarray
    labels: Sequence[int] | np.ndarray
    scores: Sequence[float] | np.ndarray | None = None
    masks: Sequence[np.ndarray] | np.ndarray | None = None
    tracks: Sequence[int] | np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.boxes.ndim != 2 or self.boxes.shape[1] != 4:
            raise ValueError(f"LabeledBoxes.boxes: expected shape (D, 4), found {self.boxes.shape}")
        fields = {"labels": self.labels, "scores": self.scores, "masks": self.masks, "tracks": self.tracks}
        for name, values in fields.items():
            if values is not None and len(values) != len(self.boxes):
                raise ValueError(f"LabeledBoxes.{name}: expected {len(self.boxes)}, found {len(values)}")

    def best_first(self) -> list[int]:
        """Return the indices of the boxes by decreasing score, or in their own order without scores."""
        if self.scores is None:
            return list(range(len(self.boxes)))
        return [int(i) for i in np.argsort(-np.asarray(self.scores, np.float64), kind="stable")]

    def caption(self, i: int, classes: Sequence[str]) -> str:
        """Return the caption of box ``i``: ``dog 0.98``, ``dog`` without scores, ``dog #3 0.98`` with a track."""
        name = classes[int(self.labels[i]) - 1]
        name = f"{name} #{int(self.tracks[i])}" if self.tracks is not None and self.tracks[i] else name
        return name if self.scores is None else f"{name} {float(self.scores[i]):.2f}"


@dataclass(frozen=True)
class Caption:
    """A text and the rectangle that it fills."""

    text: str
    rectangle: Rectangle
    font_size: int


def class_color(label: int) -> Color:
    """Return the RGB color of a class, always the same and unlike that of adjacent labels; gray for 0, background."""
    if label == 0:
        return _GRAY
    saturation, value = _SHADES[(label - 1) % len(_SHADES)]
    red, green, blue = colorsys.hsv_to_rgb((label - 1) * _GOLDEN_RATIO % 1, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_detections(rgb: np.ndarray, detections: LabeledBoxes, classes: Sequence[str]) -> np.ndarray:
    """Return a new image with the boxes and ``class score`` captions of ``detections`` on ``rgb`` (h, w, 3) uint8.

    classes: the K names, label 1 first. An image whose longer side is under 320 pixels is enlarged by an integer
    factor. Boxes are clipped to the image. The box with the best score, or the first box without scores, is drawn on
    top, and masks below all boxes.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"expected an image (h, w, 3) of uint8, found {rgb.shape} of {rgb.dtype}")
    scale = max(1, math.ceil(_MIN_SIDE / max(rgb.shape[:2])))
    enlarged = np.asarray(cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC))
    if detections.masks is not None:
        last_first = detections.best_first()[::-1]
        masks = [detections.masks[i].repeat(scale, axis=0).repeat(scale, axis=1) for i in last_first]
        enlarged = paint_masks(enlarged, masks, [int(detections.labels[i]) for i in last_first])
    image = Image.fromarray(enlarged)
    line_width, font_size = max(2, round(max(image.size) / 300)), max(12, round(max(image.size) / 55))
    rectangles: dict[int, Rectangle] = {}
    captions: dict[int, Caption] = {}
    for i in detections.best_first():
        rectangles[i] = _clip_to_pixels(detections.boxes[i] * scale, image.size)
        occupied = [caption.rectangle for caption in captions.values()]
        captions[i] = place_caption(detections.caption(i, classes), rectangles[i], image.size, occupied, font_size)
    pen = ImageDraw.Draw(image, "RGBA")
    for i in reversed(rectangles):
        _outline(pen, rectangles[i], class_color(int(detections.labels[i])), line_width)
    for i in reversed(captions):
        draw_caption(pen, captions[i], class_color(int(detections.labels[i])))
    return np.asarray(image)


def paint_masks(
    rgb: np.ndarray, masks: Sequence[np.ndarray] | np.ndarray, labels: Sequence[int] | np.ndarray
) -> np.ndarray:
    """Return a new image (h, w, 3) uint8 with masks, bitmaps (h, w) bool, painted half-transparently, the last on top.

    labels: the class of each mask, which gives its color.
    """
    painted = rgb.copy()
    for mask, label in zip(masks, labels, strict=True):
        painted[mask] = (painted[mask].astype(np.uint16) + np.asarray(class_color(int(label)), np.uint16)) // 2
    return painted


def draw_targets_and_detections(
    rgb: np.ndarray, targets: LabeledBoxes, detections: LabeledBoxes, classes: Sequence[str]
) -> np.ndarray:
    """Return the image (h, w, 3) uint8 twice, side by side with titles: with its targets and with its detections."""
    titled = {"ground truth": targets, "detections": detections}
    drawn = [_add_title(draw_detections(rgb, boxes, classes), title) for title, boxes in titled.items()]
    return image_grid(drawn, columns=2)


def image_grid(images: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Return images (h, w, 3) uint8 of any sizes in rows of ``columns``, each centered in its cell, on white."""
    if not images or columns < 1:
        raise ValueError(f"expected images and columns, found {len(images)} and {columns}")
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    height, width = (max(image.shape[axis] for image in images) + _GAP for axis in (0, 1))
    grid = np.full((rows * height + _GAP, columns * width + _GAP, 3), 255, np.uint8)
    for i, image in enumerate(images):
        top = _GAP + i // columns * height + (height - _GAP - image.shape[0]) // 2
        left = _GAP + i % columns * width + (width - _GAP - image.shape[1]) // 2
        grid[top : top + image.shape[0], left : left + image.shape[1]] = image
    return grid


def save_image(path: Path, rgb: np.ndarray) -> None:
    """Write an image (h, w, 3) uint8 RGB as .png or .jpg (.jpeg), chosen by the suffix, completely or not at all."""
    suffix = ".jpg" if path.suffix.lower() == ".jpeg" else path.suffix.lower()
    if suffix not in _FORMATS:
        raise UserError(f'{path}: expected .png or .jpg, found "{path.suffix}"{did_you_mean(suffix, _FORMATS)}')
    success, content = cv2.imencode(suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), _FORMATS[suffix])
    if not success:
        raise UserError(f"{path}: an image of {rgb.shape[1]}x{rgb.shape[0]} pixels cannot be written as {suffix}")
    write_bytes(path, content.tobytes())


def encode_jpeg(rgb: np.ndarray, max_side: int) -> bytes:
    """Return an image (h, w, 3) uint8 RGB as JPEG, reduced until its longer side is at most ``max_side`` pixels."""
    height, width = rgb.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    success, content = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), options)
    if not success:
        raise ValueError(f"expected an image that JPEG can store, found {small.shape}")
    return content.tobytes()


def text_color(fill: Color) -> Color:
    """Return black or white, whichever has the higher contrast on ``fill`` (WCAG 2.1, relative luminance)."""
    red, green, blue = (_linear(channel / 255) for channel in fill)
    return (0, 0, 0) if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 else (255, 255, 255)


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans of ``size`` pixels, which matplotlib includes: Latin, Greek, Cyrillic and more."""
    return ImageFont.truetype(_matplotlib_data() / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def _matplotlib_data() -> Path:
    """Return the folder of matplotlib's data; the import of matplotlib alone would be 2% of a prediction's start."""
    spec = importlib.util.find_spec("matplotlib")
    beside = None if spec is None or spec.origin is None else Path(spec.origin).with_name("mpl-data")
    if beside is not None and beside.is_dir():
        return beside
    import matplotlib  # where a distribution has moved its data

    return Path(matplotlib.get_data_path())


def place_caption(
    text: str, box: Rectangle, image_size: tuple[int, int], occupied: Sequence[Rectangle], font_size: int
) -> Caption:
    """Return the caption of a box on an image of (width, height): above it, inside it, below it, or at its right end.

    Chooses the first position with the least overlap with ``occupied`` rectangles. Text wider than the image is
    truncated.
    """
    typeface = font(font_size)
    text = _fit_text(text, typeface, image_size[0] - _pad(font_size) * 2)
    width = min(round(typeface.getlength(text)) + 2 * _pad(font_size), image_size[0])
    height = min(sum(typeface.getmetrics()) + _pad(font_size), image_size[1])
    x1, y1, x2, y2 = box
    corners = ((x1, y1 - height), (x1, y1), (x1, y2), (x2 - width, y1 - height), (x2 - width, y1), (x2 - width, y2))
    positions = [(min(max(x, 0), image_size[0] - width), min(max(y, 0), image_size[1] - height)) for x, y in corners]
    candidates = [(x, y, x + width, y + height) for x, y in positions]
    return Caption(
        text, min(candidates, key=lambda rectangle: sum(_overlap(rectangle, other) for other in occupied)), font_size
    )


def draw_caption(pen: ImageDraw.ImageDraw, caption: Caption, fill: Color) -> None:
    """Fill the caption's rectangle and draw its text."""
    x1, y1, x2, y2 = caption.rectangle
    pen.rectangle((x1, y1, x2 - 1, y2 - 1), fill=fill)
    middle = (y1 + y2) / 2
    pen.text(
        (x1 + _pad(caption.font_size), middle),
        caption.text,
        fill=text_color(fill),
        font=font(caption.font_size),
        anchor="lm",
    )


def _clip_to_pixels(box: np.ndarray, image_size: tuple[int, int]) -> Rectangle:
    """Round and clip a box (4,) to an image of (width, height), at least one pixel wide and high."""
    width, height = image_size
    x1, y1 = min(max(round(float(box[0])), 0), width - 1), min(max(round(float(box[1])), 0), height - 1)
    return x1, y1, min(max(round(float(box[2])), x1 + 1), width), min(max(round(float(box[3])), y1 + 1), height)


def _outline(pen: ImageDraw.ImageDraw, rectangle: Rectangle, color: Color, line_width: int) -> None:
    """Draw a rectangle with a dark rim, so that it is visible on a background of its own color."""
    x1, y1, x2, y2 = rectangle
    pen.rectangle((x1 - 1, y1 - 1, x2, y2), outline=(0, 0, 0, 150), width=line_width + 2)
    pen.rectangle((x1, y1, x2 - 1, y2 - 1), outline=color, width=line_width)


def _add_title(image: np.ndarray, title: str) -> np.ndarray:
    """Return the image under a line of text on white."""
    size = max(14, round(max(image.shape[:2]) / 35))
    title_bar = Image.new("RGB", (image.shape[1], 2 * size), "white")
    ImageDraw.Draw(title_bar).text((title_bar.width / 2, size), title, fill="black", font=font(size), anchor="mm")
    return np.concatenate([np.asarray(title_bar), image])


def _pad(size: int) -> int:
    return max(2, size // 4)


def _linear(channel: float) -> float:
    """Convert an sRGB channel in 0..1 to linear light."""
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)


def _fit_text(text: str, typeface: ImageFont.FreeTypeFont, width: int) -> str:
    """Return the text, truncated with an ellipsis where it is wider than ``width``."""
    text = " ".join(text.split())
    if typeface.getlength(text) <= width:
        return text
    lengths = range(len(text) - 1, 0, -1)
    return next((text[:n] + "…" for n in lengths if typeface.getlength(text[:n] + "…") <= width), "")


def _overlap(a: Rectangle, b: Rectangle) -> int:
    """Return the number of pixels that two rectangles share."""
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
