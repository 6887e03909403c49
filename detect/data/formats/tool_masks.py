"""What the polygons and masks of CVAT and Label Studio cover."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detect.data.masks import Mask, PolygonMask, encode
from detect.types import Size

_MAX_PIXELS = 2**31


def draw_polygon(points: Sequence[tuple[float, float]], size: Size) -> Mask:  # noqa: ARG001 - called as draw_window
    """Return a polygon of points x, y in pixels. Raises ValueError where they are under three."""
    if len(points) < 3:
        raise ValueError(f"expected three points or more, found {len(points)}")
    return PolygonMask((tuple(coordinate for point in points for coordinate in point),))


def draw_window(rle: str, window: Sequence[str], size: Size) -> Mask:
    """Return the mask of run lengths in an image of ``size`` (h, w). Raises ValueError.

    rle: lengths of runs, uncovered and covered in turn, row by row; window: the left, top, width and height that they
    fill, of which the part outside the image is cut off.
    """
    left, top, width, height = map(int, window)
    lengths = [int(text) for text in rle.split(",")]
    if not 0 < width * height < _MAX_PIXELS or min(width, height, *lengths, 0) < 0 or sum(lengths) != width * height:
        raise ValueError(f"expected runs over {width} x {height} pixels, found {sum(lengths)}")
    pixels = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(height, width)
    canvas = np.zeros(size, bool)
    y, x = max(top, 0), max(left, 0)
    visible = pixels[y - top : size[0] - top, x - left : size[1] - left] if top < size[0] and left < size[1] else None
    if visible is not None and visible.size:
        canvas[y : y + visible.shape[0], x : x + visible.shape[1]] = visible
    return encode(canvas)
