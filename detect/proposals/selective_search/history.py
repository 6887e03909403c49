"""The history of searched boxes: their initial segments, and the order in which these were merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detect.proposals.selective_search.grouping import SIMILARITY_UNIT, Grouping
from detect.proposals.selective_search.images import as_rgb, resize_to_width
from detect.proposals.selective_search.search import rank_searched_boxes
from detect.proposals.selective_search.segmentation import Segmentation
from detect.proposals.selective_search.settings import SearchSettings
from detect.proposals.selective_search.strategies import (
    Strategy,
    rerun_strategy,
    search_hierarchies,
    select_strategies,
)


@dataclass(frozen=True)
class RegionMerge:
    """A merge of two ``children`` into ``region``, with the summed similarity of the two and the box of the new region.

    The box is in pixels of the image as it was searched.
    """

    region: int
    children: tuple[int, int]
    similarity: float
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class BoxHistory:
    """The history of the box at one rank (0 is the best).

    strategy: the one that gave the box this rank; segmentation: the initial regions of that strategy, in the image as
    it was searched; region: the number of the box's region, R or more if it was merged; segments: the initial regions
    it consists of; merges: in the order of the search, empty for an initial region.
    """

    rank: int
    strategy: Strategy
    segmentation: Segmentation
    region: int
    segments: tuple[int, ...]
    merges: tuple[RegionMerge, ...]


def box_histories(
    image: NDArray[Any], settings: SearchSettings, threads: int, ranks: Sequence[int]
) -> list[BoxHistory]:
    """Return the histories of the boxes at ``ranks``: repeat the search, then rerun the strategies that made these
    boxes.
    """
    searched_image = resize_to_width(as_rgb(image), settings.resize_to)
    searched = search_hierarchies(searched_image, select_strategies(settings), threads)
    box_indices = rank_searched_boxes(searched_image, searched, settings).indices
    starts = np.cumsum([0, *(len(hierarchy.boxes) for hierarchy in searched)])
    groupings: dict[Strategy, tuple[Segmentation, Grouping | None]] = {}
    histories = []
    for rank in ranks:
        box_index = int(box_indices[rank])
        strategy_index = int(np.searchsorted(starts, box_index, side="right")) - 1
        strategy = searched[strategy_index].strategy
        if strategy not in groupings:
            groupings[strategy] = rerun_strategy(searched_image, strategy)
        histories.append(_box_history(rank, strategy, *groupings[strategy], box_index - int(starts[strategy_index])))
    return histories


def _box_history(
    rank: int, strategy: Strategy, segmentation: Segmentation, grouping: Grouping | None, box_index: int
) -> BoxHistory:
    """Return the history of the box at ``box_index`` among the boxes of its strategy."""
    if grouping is None:
        return BoxHistory(rank, strategy, segmentation, box_index, (box_index,), ())
    regions = len(segmentation.sizes)
    segments, merges, to_visit = [], [], [regions + box_index]
    while to_visit:
        region = to_visit.pop()
        if region < regions:
            segments.append(region)
            continue
        a, b = grouping.children[region - regions].tolist()
        x1, y1, x2, y2 = grouping.boxes[region - regions].tolist()
        merges.append(
            RegionMerge(
                region, (a, b), int(grouping.similarities[region - regions]) / SIMILARITY_UNIT, (x1, y1, x2, y2)
            )
        )
        to_visit += [a, b]
    merges.sort(key=lambda merge: merge.region)
    return BoxHistory(rank, strategy, segmentation, regions + box_index, tuple(sorted(segments)), tuple(merges))
