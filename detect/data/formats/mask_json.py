"""Parses masks as COCO's JSON files hold them: polygons, and run lengths, compressed or not."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pycocotools import mask as coco_mask

from detect.data.masks import Mask, PolygonMask, RleMask, count_pixels
from detect.errors import UserError, shorten

if TYPE_CHECKING:
    from detect.types import Size

_MAX_COORDINATE = 1e5  # pixels: the time to fill a polygon grows with its edges
_MAX_PIXELS = 2**31


def parse_mask(location: str, segmentation: Any) -> Mask | None:
    """Return the mask of COCO's ``segmentation``, None where it is empty or missing. Raises UserError.

    location: where it is, with which an error message starts.
    """
    if not segmentation:
        return None
    if isinstance(segmentation, dict):
        return parse_rle(location, segmentation)
    if not isinstance(segmentation, list):
        raise UserError(f'{location}: "segmentation": expected polygons or run lengths, found {shorten(segmentation)}')
    rings = segmentation if isinstance(segmentation[0], list) else [segmentation]  # some tools leave out a level
    return PolygonMask(tuple(_parse_ring(location, ring) for ring in rings))


def parse_rle(location: str, record: dict[str, Any]) -> RleMask:
    """Return the run lengths of ``{"size": [h, w], "counts": ...}``; counts: a text, or a list. Raises UserError."""
    size = _parse_size(location, record.get("size"))
    counts = record.get("counts")
    pixels = size[0] * size[1]
    if isinstance(counts, list):
        if not all(isinstance(count, int) and 0 <= count <= pixels for count in counts) or sum(counts) != pixels:
            raise UserError(f'{location}: "counts": expected lengths of runs over {pixels} pixels, found others')
        compressed = coco_mask.frPyObjects({"size": list(size), "counts": counts}, *size)["counts"]
        return RleMask(size, bytes(compressed))
    if not isinstance(counts, str) or not counts.isascii():
        raise UserError(f'{location}: "counts": expected a text or a list, found {shorten(counts)}')
    num_actual = count_pixels(counts.encode())
    if num_actual != pixels:
        described = "no run lengths" if num_actual < 0 else f"{num_actual}"
        raise UserError(f'{location}: "counts": expected runs over {pixels} pixels, found {described}')
    return RleMask(size, counts.encode())


def mask_record(mask: RleMask) -> dict[str, Any]:
    """Return run lengths as JSON files hold them; ``parse_rle`` reads them."""
    return {"size": list(mask.size), "counts": mask.counts.decode()}


def segmentation(mask: Mask) -> dict[str, Any] | list[list[float]]:
    """Return a mask as COCO's ``segmentation``; ``parse_mask`` reads it, to the last bit."""
    return mask_record(mask) if isinstance(mask, RleMask) else [list(ring) for ring in mask.rings]


def _parse_size(location: str, size: Any) -> Size:
    """Return the (h, w) of run lengths. Raises UserError."""
    is_size = isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)
    if not is_size or size[0] * size[1] >= _MAX_PIXELS:
        raise UserError(f'{location}: "size": expected [height, width], found {shorten(size)}')
    return size[0], size[1]


def _parse_ring(location: str, ring: Any) -> tuple[float, ...]:
    """Return the numbers of one polygon. Raises UserError."""
    numbers = ring if isinstance(ring, list) else []
    is_ring = len(numbers) >= 6 and len(numbers) % 2 == 0
    if not is_ring or not all(isinstance(number, int | float) for number in numbers):
        raise UserError(f'{location}: "segmentation": expected x y of 3 points or more, found {shorten(ring)}')
    if not all(math.isfinite(number) and abs(number) <= _MAX_COORDINATE for number in numbers):
        raise UserError(f'{location}: "segmentation": expected pixels, found {shorten(ring)}')
    return tuple(float(number) for number in numbers)
