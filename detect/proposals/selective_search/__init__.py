"""Selective search (Uijlings, van de Sande, Gevers and Smeulders 2013): boxes that may contain an object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detect.errors import UserError, did_you_mean
from detect.system.cpu import available_cores

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
    """Return boxes that may contain an object, best first; the same for the same seed on any number of threads.

    rgb_uint8: (H, W, 3) RGB in 0..255, or gray (H, W), or (H, W, 4) whose alpha is ignored, or floats in 0..1.
    mode: single (1 strategy, about 350 boxes for an image of 500x375), fast (8 strategies, about 2,000 boxes) or
    quality (80 strategies, about 10,000 and at most 14,000 boxes).
    threads: None takes every core that this process may use.
    min_side: boxes with a shorter side are dropped; it is measured as if the image were 500 pixels wide.
    resize_to: search a copy of this width; the papers use 500 to fix the scale of the segmentation, and it keeps large
    images fast. Boxes are always in pixels of ``rgb_uint8``.

    Returns ``Proposals`` with float32 boxes (P, 4) and scores (P,) in 0..1. The first call on a machine compiles for
    some seconds. Raises UserError for an invalid image or a value out of range.
    """
    if mode not in MODES:
        raise UserError(f"mode: expected {', '.join(MODES)}, found {mode!r}{did_you_mean(str(mode), MODES)}")
    for name, count in (("threads", threads), ("resize_to", resize_to)):
        if count is not None and (not isinstance(count, int) or count < 1):
            raise UserError(f"{name}: expected an integer of at least 1, or None, found {count!r}")
    if not min_side >= 0:
        raise UserError(f"min_side: expected 0 or more pixels, found {min_side!r}")

    from detect.proposals.selective_search.search import search  # imports numba, which takes half a second

    return search(rgb_uint8, mode, seed, threads or available_cores(), min_side, resize_to)
