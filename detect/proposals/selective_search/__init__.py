"""Selective search (Uijlings, van de Sande, Gevers and Smeulders 2013): boxes that may hold an object."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from detect.errors import UserError, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detect.types import Proposals

MODES = ("single", "fast", "quality")


def selective_search(
    rgb_uint8: NDArray[Any],
    mode: str = "fast",
    seed: int = 0,
    *,
    threads: int | None = None,
    min_side: float = 20,
    resize_to: int | None = None,
) -> Proposals:
    """Boxes that may hold an object, best first; the same boxes for the same seed, on any number of threads.

    rgb_uint8 (H, W, 3) RGB in 0..255; also (H, W) grey, (H, W, 4) whose alpha is ignored, and floats in 0..1.
    mode: single (1 strategy, some 350 boxes for an image of 500x375), fast (8, some 2,000), quality (80, some 10,000
    and at most 14,000).
    threads: None takes every core this process may use. min_side: boxes with a shorter side are dropped; it is measured
    as if the image were 500 pixels wide. resize_to: search a copy of this width, which is how the papers fix the scale
    of the segmentation (500) and what keeps large images fast; boxes are in pixels of ``rgb_uint8`` in any case.

    Returns ``Proposals`` with float32 boxes and scores in 0..1. The first call ever compiles for some seconds.
    Raises UserError on an array that is no image or a value out of range.
    """
    if mode not in MODES:
        raise UserError(f"mode: expected {', '.join(MODES)}, found {mode!r}{nearest(str(mode), MODES)}")
    for name, number in (("threads", threads), ("resize_to", resize_to)):
        if number is not None and (not isinstance(number, int) or number < 1):
            raise UserError(f"{name}: expected a whole number of 1 or more, or None, found {number!r}")
    if not min_side >= 0:
        raise UserError(f"min_side: expected 0 or more pixels, found {min_side!r}")

    from detect.proposals.selective_search.search import search  # numba, whose import takes half a second

    return search(rgb_uint8, mode, seed, threads or available_cores(), min_side, resize_to)


def available_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
