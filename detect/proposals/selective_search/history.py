"""How boxes of a search came to be: the segments they were made of, and which were joined in what order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detect.proposals.selective_search.grouping import Grouping
from detect.proposals.selective_search.images import as_rgb, resized
from detect.proposals.selective_search.search import ranked_boxes
from detect.proposals.selective_search.segmentation import Segmentation
from detect.proposals.selective_search.strategies import MODES, Strategy, hierarchies, repeated

_ONE = float(1 << 23)  # see Grouping.likeness


@dataclass(frozen=True)
class Join:
    """Two regions made one; likeness: the sum of the strategy's measures; box: of the new region, as searched."""

    made: int
    parts: tuple[int, int]
    likeness: float
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Story:
    """Of the box of one rank (0 is the best).

    strategy: that ranked it so high; segmentation: its first regions, of the picture as it was searched; region: the
    number of the box's own region, R or more where it was joined; segments: the first regions it was made of; joins:
    in the order they were made, none for a first region.
    """

    rank: int
    strategy: Strategy
    segmentation: Segmentation
    region: int
    segments: tuple[int, ...]
    joins: tuple[Join, ...]


def stories(
    image: NDArray[Any],
    mode: str,
    seed: int,
    threads: int,
    min_side: float,
    resize_to: int | None,
    ranks: Sequence[int],
) -> list[Story]:
    """Those of the boxes of ``ranks``: the same search again, then once more the strategies that made them."""
    seen = resized(as_rgb(image), resize_to)
    found = hierarchies(seen, MODES[mode], threads)
    places = ranked_boxes(seen, found, mode, seed, min_side).places
    starts = np.cumsum([0, *(len(one.boxes) for one in found)])
    remade: dict[Strategy, tuple[Segmentation, Grouping | None]] = {}
    told = []
    for rank in ranks:
        place = int(places[rank])
        maker = int(np.searchsorted(starts, place, side="right")) - 1
        strategy = found[maker].strategy
        if strategy not in remade:
            remade[strategy] = repeated(seen, strategy)
        told.append(_story(rank, strategy, *remade[strategy], place - int(starts[maker])))
    return told


def _story(rank: int, strategy: Strategy, segmentation: Segmentation, grouping: Grouping | None, place: int) -> Story:
    """place: among the boxes of the strategy."""
    if grouping is None:
        return Story(rank, strategy, segmentation, place, (place,), ())
    regions = len(segmentation.sizes)
    segments, joins, left = [], [], [regions + place]
    while left:
        region = left.pop()
        if region < regions:
            segments.append(region)
            continue
        a, b = grouping.parts[region - regions].tolist()
        x1, y1, x2, y2 = grouping.boxes[region - regions].tolist()
        joins.append(Join(region, (a, b), int(grouping.likeness[region - regions]) / _ONE, (x1, y1, x2, y2)))
        left += [a, b]
    joins.sort(key=lambda join: join.made)
    return Story(rank, strategy, segmentation, regions + place, tuple(sorted(segments)), tuple(joins))
