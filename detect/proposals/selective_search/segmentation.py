"""Graph segmentation (Felzenszwalb and Huttenlocher 2004), the first regions of selective search.

Pixels are nodes; each is joined to its eight neighbours by an edge whose weight is their distance in colour. Edges are
taken in the order of their weight, and one joins two components when it weighs no more than ``w + k / size`` of either,
where w is the heaviest edge inside it.

An edge that does not join at its turn and has its ends in two components is kept: only such edges can remove the
components that are too small, and only such edges lie between two regions in the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detect.proposals.selective_search.compilation import compiled
from detect.proposals.selective_search.edges import STEPS_PER_UNIT, SortedEdges

_BLOCK = 512  # edges looked at together


@dataclass(frozen=True)
class Segmentation:
    """labels (H, W) int32 in 0..R-1; sizes (R,) in pixels; boxes (R, 4) int32, x1 y1 x2 y2 with x2, y2 past the end.

    neighbours (E, 2) int32: each pair of touching regions once, smaller label first.
    """

    labels: NDArray[np.int32]
    sizes: NDArray[np.int32]
    boxes: NDArray[np.int32]
    neighbours: NDArray[np.int32]


def segment(edges: SortedEdges, k: float, min_size: int) -> Segmentation:
    """The regions at scale ``k``; one under ``min_size`` pixels is joined to the neighbour across its lightest edge."""
    height, width = edges.shape
    parent = np.arange(height * width, dtype=np.uint32)
    pixels = np.ones(height * width, np.int32)
    between = np.empty_like(edges.packed)
    rejected = _grow(edges.packed, width, k, parent, pixels, between)
    kept = _absorb_small(between[:rejected], width, min_size, parent, pixels)
    labels = np.empty((height, width), np.int32)
    regions = _label(parent, labels.reshape(-1))
    sizes = np.zeros(regions, np.int32)
    boxes = np.empty((regions, 4), np.int32)
    _measure(labels, sizes, boxes)
    neighbours = np.empty((kept, 2), np.int32)
    pairs = _find_neighbours(between[:kept], labels.reshape(-1), width, regions, neighbours)
    return Segmentation(labels, sizes, boxes, neighbours[:pairs].copy())


# Indices are unsigned where a kernel's time is spent: numba lets signed ones count from the end, at the cost of a test.


@compiled("i8(u8[::1], i8, i8, i4[::1], u4[::1], u4[:,::1], u8[::1])")
def _cross(
    items: NDArray[Any],
    start: int,
    end: int,
    offsets: NDArray[Any],
    parent: NDArray[Any],
    ends: NDArray[Any],
    crossing: NDArray[Any],
) -> int:
    """Of the edges ``items[start:end]``, those that do not surely lie within a component; returns how many.

    They are copied to ``crossing`` and an ancestor of either end to ``ends``. Without a branch the processor need not
    guess, and loads for many edges are under way at once; most edges need nothing more than this.
    """
    found = 0
    for i in range(start, end):
        item = items[np.uint64(i)]
        edge = np.uint32(item)
        pixel = edge >> np.uint32(2)
        other = np.uint32(np.int32(pixel) + offsets[edge & np.uint32(3)])
        a, b = parent[parent[pixel]], parent[parent[other]]
        parent[pixel], parent[other] = a, b
        spot = np.uint64(found)
        ends[spot, 0], ends[spot, 1], crossing[spot] = a, b, item
        found += a != b
    return found


@compiled("u4(u4[::1], u4)")
def _root(parent: NDArray[Any], node: int) -> int:
    while parent[node] != node:
        node = parent[node]
    return node


@compiled("u4(u4[::1], i4[::1], u4, u4)")
def _unite(parent: NDArray[Any], pixels: NDArray[Any], a: int, b: int) -> int:
    """Hang the smaller component below the larger; returns the root. ``pixels`` counts those of each root."""
    if pixels[a] < pixels[b]:
        a, b = b, a
    parent[b] = a
    pixels[a] += pixels[b]
    return a


@compiled("i8(u8[::1], i8, f4, u4[::1], i4[::1], u8[::1])")
def _grow(
    packed: NDArray[Any], width: int, k: float, parent: NDArray[Any], pixels: NDArray[Any], between: NDArray[Any]
) -> int:
    """Join components along edges light enough; returns how many edges were not, and lists them in ``between``."""
    offsets = np.array([1, width, width + 1, 1 - width], np.int32)
    limit = np.full(len(parent), k)
    ends, crossing = np.empty((_BLOCK, 2), np.uint32), np.empty(_BLOCK, np.uint64)
    rejected = 0
    for start in range(0, len(packed), _BLOCK):
        for i in range(_cross(packed, start, min(start + _BLOCK, len(packed)), offsets, parent, ends, crossing)):
            a, b = _root(parent, ends[i, 0]), _root(parent, ends[i, 1])
            if a == b:
                continue
            weight = np.float32(crossing[i] >> np.uint64(32)) * np.float32(1 / STEPS_PER_UNIT)
            if weight <= min(limit[a], limit[b]):
                root = _unite(parent, pixels, a, b)
                limit[root] = weight + k / np.float32(pixels[root])
            else:
                between[rejected] = crossing[i]
                rejected += 1
    return rejected


@compiled("i8(u8[::1], i8, i8, u4[::1], i4[::1])")
def _absorb_small(between: NDArray[Any], width: int, min_size: int, parent: NDArray[Any], pixels: NDArray[Any]) -> int:
    """Join components under ``min_size`` across their lightest edge; moves the edges that are left to the front."""
    offsets = np.array([1, width, width + 1, 1 - width], np.int32)
    ends, crossing = np.empty((_BLOCK, 2), np.uint32), np.empty(_BLOCK, np.uint64)
    kept = 0
    for start in range(0, len(between), _BLOCK):
        for i in range(_cross(between, start, min(start + _BLOCK, len(between)), offsets, parent, ends, crossing)):
            a, b = _root(parent, ends[i, 0]), _root(parent, ends[i, 1])
            if a == b:
                continue
            if min(pixels[a], pixels[b]) < min_size:
                _unite(parent, pixels, a, b)
            else:
                between[kept] = crossing[i]
                kept += 1
    return kept


@compiled("i8(u4[::1], i4[::1])")
def _label(parent: NDArray[Any], labels: NDArray[Any]) -> int:
    """Number the components in the order of their first pixel; returns how many there are."""
    labels[:] = -1
    regions = 0
    for pixel in range(len(parent)):
        root = _root(parent, parent[np.uint32(pixel)])
        parent[np.uint32(pixel)] = root
        if labels[root] < 0:
            labels[root] = regions
            regions += 1
        labels[np.uint32(pixel)] = labels[root]
    return regions


@compiled("void(i4[:,::1], i4[::1], i4[:,::1])")
def _measure(labels: NDArray[Any], sizes: NDArray[Any], boxes: NDArray[Any]) -> None:
    height, width = labels.shape
    boxes[:, 0] = width
    boxes[:, 1] = height
    boxes[:, 2:] = 0
    for y in range(height):
        start = 0
        while start < width:
            label = labels[y, start]
            end = start + 1
            while end < width and labels[y, end] == label:
                end += 1
            sizes[label] += end - start
            boxes[label, 0] = min(boxes[label, 0], start)
            boxes[label, 1] = min(boxes[label, 1], y)
            boxes[label, 2] = max(boxes[label, 2], end)
            boxes[label, 3] = y + 1
            start = end


@compiled("i8(u8[::1], i4[::1], i8, i8, i4[:,::1])")
def _find_neighbours(
    between: NDArray[Any], labels: NDArray[Any], width: int, regions: int, neighbours: NDArray[Any]
) -> int:
    """Each pair of labels that some edge joins, once, ordered by the smaller; returns how many."""
    offsets = np.array([1, width, width + 1, 1 - width], np.int32)
    starts = np.zeros(regions + 1, np.int64)
    sides = np.empty((len(between), 2), np.int32)
    for i, item in enumerate(between):
        edge = np.uint32(item)
        pixel = edge >> np.uint32(2)
        a, b = labels[pixel], labels[np.uint32(np.int32(pixel) + offsets[edge & np.uint32(3)])]
        sides[i, 0], sides[i, 1] = min(a, b), max(a, b)
        starts[sides[i, 0] + 1] += 1
    for label in range(regions):
        starts[label + 1] += starts[label]
    place = starts.copy()
    larger = np.empty(len(between), np.int32)
    for i in range(len(between)):
        larger[place[sides[i, 0]]] = sides[i, 1]
        place[sides[i, 0]] += 1
    seen = np.full(regions, -1, np.int32)
    pairs = 0
    for label in range(regions):
        for other in larger[starts[label] : starts[label + 1]]:
            if other != label and seen[other] != label:
                seen[other] = label
                neighbours[pairs, 0], neighbours[pairs, 1] = label, other
                pairs += 1
    return pairs
