"""Selective search (Uijlings, van de Sande, Gevers and Smeulders 2013): boxes that may contain an object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from detect.errors import UserError
from detect.proposals.selective_search.settings import MODES, REFERENCE_WIDTH, SearchSettings
from detect.system.cpu import available_cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detect.types import Proposals

__all__ = ["MODES", "selective_search"]


def selective_search(
    rgb_uint8: NDArray[Any],
    mode: str = "fast",
    seed: int = 0,
    *,
    threads: int | None = None,
    min_side: float = 20,
    resize_to: int | None = None,
    min_side_width: int | None = REFERENCE_WIDTH,
    colors: Sequence[str] | None = None,
    similarities: Sequence[str] | None = None,
    k: Sequence[int] | None = None,
) -> Proposals:
    """Return boxes that may contain an object, best first; the same for the same seed on any number of threads.

    rgb_uint8: (H, W, 3) RGB in 0..255, or gray (H, W), or (H, W, 4) whose alpha is ignored, or floats in 0..1.
    mode: single (1 strategy, about 350 boxes for an image of 500x375), fast (8 strategies, about 2,000 boxes) or
    quality (80 strategies, about 10,000 and at most 14,000 boxes).
    threads: None takes every core that this process may use.
    min_side: boxes with a shorter side are dropped; it is measured as if the image were ``min_side_width`` pixels wide.
    resize_to: search a copy of this width, which fixes the scale of the segmentation and keeps large images fast.
    R-CNN's code has 500 for ILSVRC and searches the images of VOC as they are. Boxes are always in pixels of
    ``rgb_uint8``.
    min_side_width: None measures ``min_side`` in pixels of the image as it is searched, as R-CNN's code does.
    colors, similarities, k: the color spaces (HSV, Lab, rgI, H, I, RGB, rgb), the measures of each grouping (letters of
    CTSF in this order, for color, texture, size and fill, such as "TSF") and the scales of the segmentation, of which
    every combination is a strategy; None takes those of the mode. Uijlings et al. compare single strategies by them.

    Returns ``Proposals`` with float32 boxes (P, 4) and scores (P,) in 0..1. The first call on a machine compiles for
    some seconds. Raises UserError for an invalid image or a value out of range.
    """
    settings = SearchSettings(
        mode=mode,
        seed=seed,
        min_side=min_side,
        resize_to=resize_to,
        min_side_width=min_side_width,
        colors=None if colors is None else tuple(colors),
        similarities=None if similarities is None else tuple(similarities),
        k=None if k is None else tuple(k),
    )
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise UserError(f"threads: expected an integer of at least 1, or None, found {threads!r}")

    from detect.proposals.selective_search.search import search  # imports numba, which takes half a second

    return search(rgb_uint8, settings, threads or available_cores())
