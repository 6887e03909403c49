"""The strategies of each mode (Uijlings et al. 2013, section 5), and their distribution over threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from detect.proposals.selective_search import features
from detect.proposals.selective_search.color import SPACES
from detect.proposals.selective_search.edges import SortedEdges, smooth, sort_edges
from detect.proposals.selective_search.grouping import Grouping, Similarity, group_regions
from detect.proposals.selective_search.segmentation import Segmentation, segment
from detect.proposals.selective_search.settings import SearchSettings

_CTSF = Similarity(color=True, texture=True, size=True, fill=True)
_TSF = Similarity(texture=True, size=True, fill=True)
_F = Similarity(fill=True)
_S = Similarity(size=True)


@dataclass(frozen=True)
class Mode:
    """The strategies of a mode: every color space is segmented at every scale k and grouped by every similarity.

    max_boxes: the number of best ranked boxes to return; None for all.
    """

    spaces: tuple[str, ...]
    similarities: tuple[Similarity, ...]
    scales: tuple[int, ...]
    max_boxes: int | None = None


MODES = {
    "single": Mode(("HSV",), (_CTSF,), (100,)),
    "fast": Mode(("HSV", "Lab"), (_CTSF, _TSF), (50, 100)),
    # A quarter of VOC's images has more than 14,000 boxes; the limit costs 0.0003 MABO and saves 560 boxes in the mean.
    "quality": Mode(("HSV", "Lab", "rgI", "H", "I"), (_CTSF, _TSF, _F, _S), (50, 100, 150, 300), max_boxes=14_000),
}


@dataclass(frozen=True)
class Strategy:
    """A color space segmented at a scale k, and the similarity of its grouping, or None for the initial regions."""

    space: str
    scale: int
    similarity: Similarity | None


@dataclass(frozen=True)
class Hierarchy:
    """The boxes (B, 4) int32 of a strategy and their ranks (B,) int64; rank 1 is the whole image."""

    strategy: Strategy
    boxes: NDArray[np.int32]
    ranks: NDArray[np.int64]


@dataclass(frozen=True)
class _ColorSpaceFeatures:
    """The data of one color space that all scales share."""

    space: str
    edges: SortedEdges
    codes: NDArray[np.uint16]
    color_bins: int


def select_strategies(settings: SearchSettings) -> Mode:
    """Return the mode of the settings, with their color spaces, similarities and scales in place of its own."""
    mode = MODES[settings.mode]
    similarities = None if settings.similarities is None else tuple(map(_similarity, settings.similarities))
    return replace(
        mode,
        spaces=settings.colors or mode.spaces,
        similarities=similarities or mode.similarities,
        scales=settings.k or mode.scales,
    )


def _similarity(letters: str) -> Similarity:
    """Return the measures of letters of CTSF."""
    return Similarity(color="C" in letters, texture="T" in letters, size="S" in letters, fill="F" in letters)


def search_hierarchies(rgb: NDArray[np.uint8], mode: Mode, threads: int) -> list[Hierarchy]:
    """Return the hierarchies of all strategies for ``rgb`` (H, W, 3), always in the same order."""
    with ThreadPoolExecutor(threads) as pool:
        searches = [
            pool.submit(_search_scale, prepared, k, mode.similarities)
            for prepared in pool.map(lambda space: _prepare(rgb, space), mode.spaces)
            for k in mode.scales
        ]
        return [hierarchy for search in searches for hierarchy in search.result()]


def _prepare(rgb: NDArray[np.uint8], space: str) -> _ColorSpaceFeatures:
    planes = SPACES[space].planes(rgb)
    edges = sort_edges(smooth(planes), SPACES[space].contrast)
    return _ColorSpaceFeatures(space, edges, features.pixel_codes(planes), features.COLOR_BINS * len(planes))


def _search_scale(prepared: _ColorSpaceFeatures, k: int, similarities: tuple[Similarity, ...]) -> list[Hierarchy]:
    """Segment at one scale: return the hierarchies of its groupings, then its initial regions with the last rank."""
    segmentation, histograms = _segment(prepared, k)
    num_regions = len(segmentation.sizes)
    groupings = []
    for similarity in similarities:
        boxes = group_regions(segmentation, histograms, prepared.color_bins, similarity).boxes
        groupings.append(Hierarchy(Strategy(prepared.space, k, similarity), boxes, np.arange(len(boxes), 0, -1)))
    return [
        *groupings,
        Hierarchy(Strategy(prepared.space, k, None), segmentation.boxes, np.full(num_regions, num_regions)),
    ]


def _segment(prepared: _ColorSpaceFeatures, k: int) -> tuple[Segmentation, NDArray[np.float32]]:
    segmentation = segment(prepared.edges, k, min_size=k)
    return segmentation, features.count_histograms(prepared.codes, segmentation.labels, len(segmentation.sizes))


def rerun_strategy(rgb: NDArray[np.uint8], strategy: Strategy) -> tuple[Segmentation, Grouping | None]:
    """Return the segmentation and the grouping of one strategy, which ``search_hierarchies`` does not keep."""
    prepared = _prepare(rgb, strategy.space)
    segmentation, histograms = _segment(prepared, strategy.scale)
    if strategy.similarity is None:
        return segmentation, None
    return segmentation, group_regions(segmentation, histograms, prepared.color_bins, strategy.similarity)
