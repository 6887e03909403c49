"""The masks of LabelMe's shapes: polygons, and the pixels of a ``mask``, which the JSON file has as a PNG in base64."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from detect.data.formats.labelme_json import Outline
from detect.data.masks import Mask, PolygonMask, encode, union
from detect.types import Size


def shape_mask(outlines: Sequence[Outline], size: Size) -> Mask:
    """Return what the outlines of an object cover in an image of ``size`` (h, w). Raises ValueError."""
    return union([_outline_mask(outline, size) for outline in outlines], size)


def _outline_mask(outline: Outline, size: Size) -> Mask:
    """Return the mask of one outline. Raises ValueError where it has under three points, or no PNG."""
    if outline.png is None:
        if len(outline.points) < 3:
            raise ValueError(f"expected three points or more, found {len(outline.points)}")
        return PolygonMask((tuple(coordinate for point in outline.points for coordinate in point),))
    try:
        with Image.open(io.BytesIO(base64.b64decode(outline.png))) as image:
            pixels = np.asarray(image.convert("L")) > 0
    except (binascii.Error, OSError, SyntaxError) as error:
        raise ValueError(f"expected a PNG in base64, found: {error}") from error
    canvas = np.zeros(size, bool)
    x, y = (round(coordinate) for coordinate in outline.points[0])
    top, left = max(y, 0), max(x, 0)
    part = pixels[top - y : size[0] - y, left - x : size[1] - x]
    canvas[top : top + part.shape[0], left : left + part.shape[1]] = part
    return encode(canvas)
