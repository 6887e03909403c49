"""A picture of an alignment: the photo with the boxes of words, and below it the words in the colors of the boxes."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from detect import draw
from detect.describe.describer import Alignment

_SPACING = 1.9  # lines, of the height of the letters


def draw_alignment(rgb: np.ndarray, alignment: Alignment) -> np.ndarray:
    """Return the picture (h, w, 3) uint8 of a photo rgb (H, W, 3) uint8.

    The regions with words get the colors of classes, in the order of their first words. A word that belongs to the
    whole photo is gray and has no box; an unknown word stands in brackets.
    """
    whole = len(alignment.regions) - 1
    shown = [region for region in dict.fromkeys(alignment.assigned.tolist()) if region != whole]
    captions = [_words_of(alignment, region) for region in shown]
    boxes = draw.LabeledBoxes(alignment.regions.boxes[shown].reshape(-1, 4), list(range(1, len(shown) + 1)))
    photo = draw.draw_detections(rgb, boxes, captions)
    color_of = {region: draw.class_color(rank) for rank, region in enumerate(shown, start=1)}
    colors = [color_of.get(region, draw.class_color(0)) for region in alignment.assigned.tolist()]
    words = [word if known else f"[{word}]" for word, known in zip(alignment.tokens, alignment.known, strict=True)]
    return np.concatenate([photo, _draw_sentence(words, colors, photo.shape[1])])


def _words_of(alignment: Alignment, region: int) -> str:
    """Return the words of a region, in their order."""
    return " ".join(
        word for word, assigned in zip(alignment.tokens, alignment.assigned, strict=True) if assigned == region
    )


def _draw_sentence(words: list[str], colors: list[draw.Color], width: int) -> np.ndarray:
    """Return words on fields of their colors, on white, in as many lines as a picture of ``width`` pixels needs."""
    size = max(14, width // 40)
    typeface, gap, step = draw.font(size), max(2, size // 3), round(_SPACING * size)
    positions = []
    x, line = gap, 0
    for word in words:
        length = round(typeface.getlength(word)) + 2 * gap
        if x > gap and x + length + gap > width:
            x, line = gap, line + 1
        positions.append((x, line * step + gap, x + length, line * step + gap + round(1.5 * size)))
        x += length + gap
    strip = Image.new("RGB", (width, (line + 1) * step + gap), "white")
    pen = ImageDraw.Draw(strip)
    for word, color, rectangle in zip(words, colors, positions, strict=True):
        draw.draw_caption(pen, draw.Caption(word, rectangle, size), color)
    return np.asarray(strip)
