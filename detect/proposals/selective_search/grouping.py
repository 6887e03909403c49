"""Hierarchical grouping: join the two most similar neighbours until one is left (Uijlings et al. 2013, section 3.1).

Similarities are integers in units of 2^-23, so that they are the same on every machine; among equals the pair that
became neighbours first is joined first. Candidate pairs wait in a binary heap; a pair one of whose regions is gone is
dropped when it comes up. Regions 0..R-1 are given, R..2R-2 are the joined ones in the order they were made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detect.proposals.selective_search.compilation import compiled
from detect.proposals.selective_search.segmentation import Segmentation

_ONE = float(1 << 23)  # similarity 1; sums of floats up to it are exact


@dataclass(frozen=True)
class Similarity:
    """Which measures are summed; each lies in 0..1."""

    colour: bool = False
    texture: bool = False
    size: bool = False
    fill: bool = False


@dataclass(frozen=True)
class Grouping:
    """The R-1 joined regions in the order they were made; the first of them is region R.

    boxes (R-1, 4) int32; parts (R-1, 2) int32: the two regions that each was made of; likeness (R-1,) int64: how alike
    these were, in units of 2^-23, the sum of the measures.
    """

    boxes: NDArray[np.int32]
    parts: NDArray[np.int32]
    likeness: NDArray[np.int64]


def group(
    segmentation: Segmentation, histograms: NDArray[np.float32], colour_bins: int, similarity: Similarity
) -> Grouping:
    """Join until one region is left.

    histograms (R, bins): pixels counted by colour (the first ``colour_bins`` columns) and texture.
    """
    regions = len(segmentation.sizes)
    first = 0 if similarity.colour else colour_bins
    last = histograms.shape[1] if similarity.texture else colour_bins
    counts = histograms[:, first:last].copy() if first < last else np.empty((regions, 0), np.float32)
    shared = min(colour_bins, last) - first  # columns of ``counts`` that are colour
    boxes = np.empty((2 * regions - 1, 4), np.int32)
    boxes[:regions] = segmentation.boxes
    sizes = np.full(2 * regions - 1, segmentation.labels.size, np.int32)
    sizes[:regions] = segmentation.sizes
    parts, likeness = np.empty((regions - 1, 2), np.int32), np.empty(regions - 1, np.int64)
    _group(counts, shared, similarity.size, similarity.fill, segmentation.neighbours, sizes, boxes, parts, likeness)
    return Grouping(boxes[regions:], parts, likeness)


@compiled("f4(f4[::1], f4[::1])")
def _intersection(a: NDArray[Any], b: NDArray[Any]) -> Any:
    total = np.float32(0)
    for i in range(len(a)):
        total += a[i] if a[i] < b[i] else b[i]
    return total


@compiled("void(f4[::1], i8, f4[::1])")
def _normalise(counts: NDArray[Any], colours: int, normal: NDArray[Any]) -> None:
    """L1-normalise the colours and the textures of one region, in units of 2^-23 rounded down."""
    for start, end in ((0, colours), (colours, len(counts))):
        total = np.float64(0)
        for i in range(start, end):
            total += counts[i]
        scale = np.float32(_ONE / max(total, 1.0))
        for i in range(start, end):
            normal[i] = np.floor(counts[i] * scale)


@compiled("i8(f4[::1], f4[::1], i8, i4[:,::1], i4[::1], b1, b1, i8, i8)")
def _likeness(
    a_normal: NDArray[Any],
    b_normal: NDArray[Any],
    colours: int,
    boxes: NDArray[Any],
    sizes: NDArray[Any],
    use_size: bool,
    use_fill: bool,
    a: Any,
    b: Any,
) -> Any:
    """The sum of the measures: shared colour and texture, small together (size), fill the box around both (fill)."""
    total = np.int64(0)
    if len(a_normal) > 0:
        total += np.int64(_intersection(a_normal[:colours], b_normal[:colours]))
        total += np.int64(_intersection(a_normal[colours:], b_normal[colours:]))
    together = sizes[a] + sizes[b]
    image = np.float64(sizes[-1])
    if use_size:
        total += np.int64((1 - together / image) * _ONE)
    if use_fill:
        width = max(boxes[a, 2], boxes[b, 2]) - min(boxes[a, 0], boxes[b, 0])
        height = max(boxes[a, 3], boxes[b, 3]) - min(boxes[a, 1], boxes[b, 1])
        total += np.int64((1 - (width * height - together) / image) * _ONE)
    return total


@compiled("void(i8[::1], i8, i8)")
def _rise(heap: NDArray[Any], spot: int, item: int) -> None:
    """Put ``item`` at the empty ``spot`` or above."""
    while spot > 0:
        above = (spot - 1) >> 1
        if heap[above] >= item:
            break
        heap[spot] = heap[above]
        spot = above
    heap[spot] = item


@compiled("i8(i8[::1], i8)")
def _pop(heap: NDArray[Any], length: int) -> Any:
    """Take the greatest of ``length`` items: the hole sinks to the bottom, the last item rises from there."""
    top = heap[0]
    last = heap[length - 1]
    spot = 0
    child = 1
    while child < length - 1:
        if child + 1 < length - 1 and heap[child + 1] > heap[child]:
            child += 1
        heap[spot] = heap[child]
        spot = child
        child = 2 * spot + 1
    if length > 1:
        _rise(heap, spot, last)
    return top


@compiled("i4(i4[::1], i4)")
def _alive(joined: NDArray[Any], node: int) -> int:
    """The region that ``node`` is part of by now; ``joined`` holds what each became, itself while it lives."""
    root = node
    while joined[root] != root:
        root = joined[root]
    while joined[node] != root:
        joined[node], node = root, joined[node]
    return root


@compiled("i8[::1](i8[::1], i8)")
def _with_room(items: NDArray[Any], used: int) -> NDArray[Any]:
    """The same array, or one twice as long where all of it is used."""
    if used < len(items):
        return items
    longer = np.empty(2 * used + 16, np.int64)
    longer[:used] = items
    return longer


@compiled("void(i4[:,::1], i4[:,::1], i4[:,::1])")
def _link(neighbours: NDArray[Any], ends: NDArray[Any], entries: NDArray[Any]) -> None:
    """Linked lists of neighbours: ends (regions, first and last entry), entries (neighbour, next entry or -1)."""
    ends[:] = -1
    for i in range(len(neighbours)):
        for side in range(2):
            node, spot = neighbours[i, side], 2 * i + side
            entries[spot, 0] = neighbours[i, 1 - side]
            entries[spot, 1] = -1
            if ends[node, 0] < 0:
                ends[node, 0] = spot
            else:
                entries[ends[node, 1], 1] = spot
            ends[node, 1] = spot


@compiled("i8(i4[:,::1], i4[:,::1], i4[::1], i4[::1], i8, i8, i8)")
def _concatenate(
    ends: NDArray[Any], entries: NDArray[Any], joined: NDArray[Any], seen: NDArray[Any], a: int, b: int, new: int
) -> int:
    """Make the lists of ``a`` and ``b`` the list of ``new``, each living neighbour once; returns how many there are."""
    entries[ends[a, 1], 1] = ends[b, 0]
    spot, last, found = ends[a, 0], np.int32(-1), 0
    while spot >= 0:
        other, after = _alive(joined, entries[spot, 0]), entries[spot, 1]
        if other != new and seen[other] != new:
            seen[other] = new
            entries[spot, 0] = other
            if last < 0:
                ends[new, 0] = spot
            else:
                entries[last, 1] = spot
            last = spot
            found += 1
        spot = after
    if last >= 0:
        entries[last, 1] = -1
    ends[new, 1] = last
    return found


@compiled("void(i4[:,::1], i4[::1], i8, i8, i8)")
def _join_shapes(boxes: NDArray[Any], sizes: NDArray[Any], a: int, b: int, new: int) -> None:
    sizes[new] = sizes[a] + sizes[b]
    for side in range(2):
        boxes[new, side] = min(boxes[a, side], boxes[b, side])
        boxes[new, side + 2] = max(boxes[a, side + 2], boxes[b, side + 2])


@compiled("void(f4[:,::1], i8, b1, b1, i4[:,::1], i4[::1], i4[:,::1], i4[:,::1], i8[::1])")
def _group(
    counts: NDArray[Any],
    colours: int,
    use_size: bool,
    use_fill: bool,
    neighbours: NDArray[Any],
    sizes: NDArray[Any],
    boxes: NDArray[Any],
    parts: NDArray[Any],
    alike: NDArray[Any],
) -> None:
    """Fill ``boxes`` and ``sizes`` of the joined regions (the last size, that of the image, is there from the start),
    their ``parts`` and how ``alike`` these were.

    A joined region takes over the histogram row of one of its parts: ``counts`` is overwritten.
    """
    regions, nodes, edges = len(counts), len(sizes), len(neighbours)
    normal = np.empty_like(counts)
    for region in range(regions):
        _normalise(counts[region], colours, normal[region])
    row = np.arange(nodes)
    joined = np.arange(nodes).astype(np.int32)
    seen = np.full(nodes, -1, np.int32)
    ends = np.empty((nodes, 2), np.int32)
    entries = np.empty((2 * edges, 2), np.int32)
    _link(neighbours, ends, entries)

    pairs = np.empty(8 * edges + 16, np.int64)  # every pair that ever touched, packed in two halves
    heap = np.empty(4 * edges + 16, np.int64)  # likeness above, age below
    for made in range(edges):
        a, b = np.int64(neighbours[made, 0]), np.int64(neighbours[made, 1])
        pairs[made] = (a << 32) | b
        likeness = _likeness(normal[a], normal[b], colours, boxes, sizes, use_size, use_fill, a, b)
        _rise(heap, made, (likeness << 32) | (0xFFFFFFFF - made))
    made, waiting = edges, edges
    for new in range(regions, nodes):
        a, b, top = np.int64(0), np.int64(0), np.int64(0)
        while True:
            top = _pop(heap, waiting)
            index = 0xFFFFFFFF - (top & 0xFFFFFFFF)
            waiting -= 1
            a, b = pairs[index] >> 32, pairs[index] & 0xFFFFFFFF
            if joined[a] == a and joined[b] == b:
                break
        joined[a] = joined[b] = new
        parts[new - regions, 0], parts[new - regions, 1], alike[new - regions] = a, b, top >> 32
        row[new] = row[a]
        counts[row[a]] += counts[row[b]]
        _normalise(counts[row[a]], colours, normal[row[a]])
        _join_shapes(boxes, sizes, a, b, new)
        spot = ends[new, 0]
        for _ in range(_concatenate(ends, entries, joined, seen, a, b, new)):
            spot = entries[spot, 1] if spot >= 0 else ends[new, 0]
            other = np.int64(entries[spot, 0])
            likeness = _likeness(
                normal[row[new]], normal[row[other]], colours, boxes, sizes, use_size, use_fill, new, other
            )
            pairs, heap = _with_room(pairs, made), _with_room(heap, waiting)
            pairs[made] = (new << 32) | other
            _rise(heap, waiting, (likeness << 32) | (0xFFFFFFFF - made))
            made += 1
            waiting += 1
