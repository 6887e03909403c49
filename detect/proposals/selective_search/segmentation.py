"""Graph segmentation (Felzenszwalb and Huttenlocher 2004), which makes the initial regions of selective search.

Pixels are nodes; each is connected to its eight neighbors by an edge whose weight is their distance in color. Edges are
processed in the order of their weight, and an edge merges two components if it weighs no more than ``w + k / size`` of
either, where w is the heaviest edge inside the component.

An edge that does not merge when it is processed and has its ends in two components is stored: only such edges can later
merge the components that are too small, and only such edges lie between two final regions.

Regions that touch at a corner are neighbors too, 7 % more pairs than in the authors' selective search, whose neighbors
touch at a side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detect.proposals.selective_search.compilation import compile_kernel
from detect.proposals.selective_search.edges import STEPS_PER_UNIT, SortedEdges

_BLOCK = 512  # number of edges tested together


@dataclass(frozen=True)
class Segmentation:
    """The R regions of an image.

    labels (H, W) int32 in 0..R-1; sizes (R,) int32 in pixels; boxes (R, 4) int32, x1 y1 x2 y2 with x2, y2 exclusive;
    neighbors (E, 2) int32: each pair of touching regions once, smaller label first.
    """

    labels: NDArray[np.int32]
    sizes: NDArray[np.int32]
    boxes: NDArray[np.int32]
    neighbors: NDArray[np.int32]


def segment(edges: SortedEdges, k: float, min_size: int) -> Segmentation:
    """Return the regions at scale ``k``; those under ``min_size`` pixels are merged across their lightest edge."""
    height, width = edges.shape
    parent = np.arange(height * width, dtype=np.uint32)
    pixels = np.ones(height * width, np.int32)
    between = np.empty_like(edges.packed)
    num_rejected = _merge_components(edges.packed, width, k, parent, pixels, between)
    num_between = _merge_small_components(between[:num_rejected], width, min_size, parent, pixels)
    labels = np.empty((height, width), np.int32)
    num_regions = _label_components(parent, labels.reshape(-1))
    sizes = np.zeros(num_regions, np.int32)
    boxes = np.empty((num_regions, 4), np.int32)
    _measure_regions(labels, sizes, boxes)
    neighbors = np.empty((num_between, 2), np.int32)
    num_pairs = _find_neighbors(between[:num_between], labels.reshape(-1), width, num_regions, neighbors)
    return Segmentation(labels, sizes, boxes, neighbors[:num_pairs].copy())


# Indices are unsigned in inner loops: numba lets signed ones count from the end, which costs a test for each access.


@compile_kernel("i8(u8[::1], i8, i8, i4[::1], u4[::1], u4[:,::1], u8[::1])")
def _crossing_edges(
    edges: NDArray[Any],
    start: int,
    end: int,
    offsets: NDArray[Any],
    parent: NDArray[Any],
    ends: NDArray[Any],
    crossing: NDArray[Any],
) -> int:
    """Select from ``edges[start:end]`` those that may connect two components; return how many there are.

    They are copied to ``crossing`` and an ancestor of each end to ``ends``. The loop has no branch, so the processor
    need not predict one, and it loads many edges in parallel; most edges need no further work.
    """
    num_crossing = 0
    for i in range(start, end):
        packed_edge = edges[np.uint64(i)]
        edge = np.uint32(packed_edge)
        pixel = edge >> np.uint32(2)
        other = np.uint32(np.int32(pixel) + offsets[edge & np.uint32(3)])
        a, b = parent[parent[pixel]], parent[parent[other]]
        parent[pixel], parent[other] = a, b
        slot = np.uint64(num_crossing)
        ends[slot, 0], ends[slot, 1], crossing[slot] = a, b, packed_edge
        num_crossing += a != b
    return num_crossing


@compile_kernel("u4(u4[::1], u4)")
def _find_root(parent: NDArray[Any], node: int) -> int:
    """Return the root of the component of ``node``."""
    while parent[node] != node:
        node = parent[node]
    return node


@compile_kernel("u4(u4[::1], i4[::1], u4, u4)")
def _union(parent: NDArray[Any], pixels: NDArray[Any], a: int, b: int) -> int:
    """Attach the smaller component to the larger and return the root; ``pixels`` counts the pixels of each root."""
    if pixels[a] < pixels[b]:
        a, b = b, a
    parent[b] = a
    pixels[a] += pixels[b]
    return a


@compile_kernel("i8(u8[::1], i8, f4, u4[::1], i4[::1], u8[::1])")
def _merge_components(
    packed: NDArray[Any], width: int, k: float, parent: NDArray[Any], pixels: NDArray[Any], between: NDArray[Any]
) -> int:
    """Merge components along edges that are light enough; list the other edges in ``between`` and return how many."""
    offsets = np.array([1, width, width + 1, 1 - width], np.int32)
    limit = np.full(len(parent), k)
    ends, crossing = np.empty((_BLOCK, 2), np.uint32), np.empty(_BLOCK, np.uint64)
    num_rejected = 0
    for start in range(0, len(packed), _BLOCK):
        for i in range(
            _crossing_edges(packed, start, min(start + _BLOCK, len(packed)), offsets, parent, ends, crossing)
        ):
            a, b = _find_root(parent, ends[i, 0]), _find_root(parent, ends[i, 1])
            if a == b:
                continue
            weight = np.float32(crossing[i] >> np.uint64(32)) * np.float32(1 / STEPS_PER_UNIT)
            if weight <= min(limit[a], limit[b]):
                root = _union(parent, pixels, a, b)
                limit[root] = weight + k / np.float32(pixels[root])
            else:
                between[num_rejected] = crossing[i]
                num_rejected += 1
    return num_rejected


@compile_kernel("i8(u8[::1], i8, i8, u4[::1], i4[::1])")
def _merge_small_components(
    between: NDArray[Any], width: int, min_size: int, parent: NDArray[Any], pixels: NDArray[Any]
) -> int:
    """Merge components under ``min_size`` across their lightest edge; move the remaining edges to the front."""
    offsets = np.array([1, width, width + 1, 1 - width], np.int32)
    ends, crossing = np.empty((_BLOCK, 2), np.uint32), np.empty(_BLOCK, np.uint64)
    num_between = 0
    for start in range(0, len(between), _BLOCK):
        for i in range(
            _crossing_edges(between, start, min(start + _BLOCK, len(between)), offsets, parent, ends, crossing)
        ):
            a, b = _find_root(parent, ends[i, 0]), _find_root(parent, ends[i, 1])
            if a == b:
                continue
            if min(pixels[a], pixels[b]) < min_size:
                _union(parent, pixels, a, b)
            else:
                between[num_between] = crossing[i]
                num_between += 1
    return num_between


@compile_kernel("i8(u4[::1], i4[::1])")
def _label_components(parent: NDArray[Any], labels: NDArray[Any]) -> int:
    """Number the components in the order of their first pixel; return how many there are."""
    labels[:] = -1
    num_regions = 0
    for pixel in range(len(parent)):
        root = _find_root(parent, parent[np.uint32(pixel)])
        parent[np.uint32(pixel)] = root
        if labels[root] < 0:
            labels[root] = num_regions
            num_regions += 1
        labels[np.uint32(pixel)] = labels[root]
    return num_regions


@compile_kernel("void(i4[:,::1], i4[::1], i4[:,::1])")
def _measure_regions(labels: NDArray[Any], sizes: NDArray[Any], boxes: NDArray[Any]) -> None:
    """Compute sizes (R,) and boxes (R, 4) of the regions in labels (H, W)."""
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


@compile_kernel("i8(u8[::1], i4[::1], i8, i8, i4[:,::1])")
def _find_neighbors(
    between: NDArray[Any], labels: NDArray[Any], width: int, num_regions: int, neighbors: NDArray[Any]
) -> int:
    """List each pair of labels that an edge connects once, ordered by the smaller label; return how many there are."""
    offsets = np.array([1, width, width + 1, 1 - width], np.int32)
    starts = np.zeros(num_regions + 1, np.int64)
    sides = np.empty((len(between), 2), np.int32)
    for i, packed_edge in enumerate(between):
        edge = np.uint32(packed_edge)
        pixel = edge >> np.uint32(2)
        a, b = labels[pixel], labels[np.uint32(np.int32(pixel) + offsets[edge & np.uint32(3)])]
        sides[i, 0], sides[i, 1] = min(a, b), max(a, b)
        starts[sides[i, 0] + 1] += 1
    for label in range(num_regions):
        starts[label + 1] += starts[label]
    next_slot = starts.copy()
    larger = np.empty(len(between), np.int32)
    for i in range(len(between)):
        larger[next_slot[sides[i, 0]]] = sides[i, 1]
        next_slot[sides[i, 0]] += 1
    listed_for = np.full(num_regions, -1, np.int32)
    pairs = 0
    for label in range(num_regions):
        for other in larger[starts[label] : starts[label + 1]]:
            if other != label and listed_for[other] != label:
                listed_for[other] = label
                neighbors[pairs, 0], neighbors[pairs, 1] = label, other
                pairs += 1
    return pairs
