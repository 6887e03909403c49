"""Which searches make up a mode (Uijlings et al. 2013, section 5), and how they are spread over threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detect.proposals.selective_search import features
from detect.proposals.selective_search.colour import SPACES
from detect.proposals.selective_search.edges import SortedEdges, smooth, sort_edges
from detect.proposals.selective_search.grouping import Grouping, Similarity, group
from detect.proposals.selective_search.segmentation import Segmentation, segment

_CTSF = Similarity(colour=True, texture=True, size=True, fill=True)
_TSF = Similarity(texture=True, size=True, fill=True)
_F = Similarity(fill=True)
_S = Similarity(size=True)


@dataclass(frozen=True)
class Mode:
    """Every colour space is segmented at every scale k, and each segmentation is grouped by every similarity.

    limit: the most boxes of an image, the best ranked; None for all.
    """

    spaces: tuple[str, ...]
    similarities: tuple[Similarity, ...]
    scales: tuple[int, ...]
    limit: int | None = None


MODES = {
    "single": Mode(("HSV",), (_CTSF,), (100,)),
    "fast": Mode(("HSV", "Lab"), (_CTSF, _TSF), (50, 100)),
    # A quarter of VOC's images has more than 14,000; the limit takes 0.0003 off the MABO and 560 boxes off the mean.
    "quality": Mode(("HSV", "Lab", "rgI", "H", "I"), (_CTSF, _TSF, _F, _S), (50, 100, 150, 300), limit=14_000),
}


@dataclass(frozen=True)
class Strategy:
    """A colour space segmented at a scale k, and the similarity of its grouping; None: its own regions."""

    space: str
    scale: int
    similarity: Similarity | None


@dataclass(frozen=True)
class Hierarchy:
    """What a strategy made: boxes (R, 4) int32 and their positions (R,): 1 is the whole image."""

    strategy: Strategy
    boxes: NDArray[np.int32]
    positions: NDArray[np.int64]


@dataclass(frozen=True)
class _Prepared:
    """What the scales of one colour space share."""

    space: str
    edges: SortedEdges
    codes: NDArray[np.uint16]
    colour_bins: int


def hierarchies(rgb: NDArray[np.uint8], mode: Mode, threads: int) -> list[Hierarchy]:
    """All hierarchies of ``rgb`` (H, W, 3), always in the same order."""
    with ThreadPoolExecutor(threads) as pool:
        searches = [
            pool.submit(_search, prepared, k, mode.similarities)
            for prepared in pool.map(lambda space: _prepare(rgb, space), mode.spaces)
            for k in mode.scales
        ]
        return [hierarchy for search in searches for hierarchy in search.result()]


def _prepare(rgb: NDArray[np.uint8], space: str) -> _Prepared:
    planes = SPACES[space].planes(rgb)
    edges = sort_edges(smooth(planes), SPACES[space].contrast)
    return _Prepared(space, edges, features.pixel_codes(planes), features.COLOUR_BINS * len(planes))


def _search(prepared: _Prepared, k: int, similarities: tuple[Similarity, ...]) -> list[Hierarchy]:
    """One segmentation: its groupings, then its own regions, which come after all that was made from them."""
    segmentation, histograms = _segmented(prepared, k)
    regions = len(segmentation.sizes)
    found = []
    for similarity in similarities:
        joined = group(segmentation, histograms, prepared.colour_bins, similarity).boxes
        found.append(Hierarchy(Strategy(prepared.space, k, similarity), joined, np.arange(len(joined), 0, -1)))
    return [*found, Hierarchy(Strategy(prepared.space, k, None), segmentation.boxes, np.full(regions, regions))]


def _segmented(prepared: _Prepared, k: int) -> tuple[Segmentation, NDArray[np.float32]]:
    segmentation = segment(prepared.edges, k, min_size=k)
    return segmentation, features.count(prepared.codes, segmentation.labels, len(segmentation.sizes))


def repeated(rgb: NDArray[np.uint8], strategy: Strategy) -> tuple[Segmentation, Grouping | None]:
    """One strategy of ``hierarchies`` once more, with all that it keeps to itself there."""
    prepared = _prepare(rgb, strategy.space)
    segmentation, histograms = _segmented(prepared, strategy.scale)
    if strategy.similarity is None:
        return segmentation, None
    return segmentation, group(segmentation, histograms, prepared.colour_bins, strategy.similarity)
