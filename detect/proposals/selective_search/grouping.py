"""Hierarchical grouping: merge the two most similar neighbors until one is left (Uijlings et al. 2013, section 3.1).

The plain algorithm, which a test in tests/proposals/test_grouping.py runs on random images and compares with this
module:

    pairs = all neighboring regions, in the order of the segmentation
    while two regions are left:
        a, b = the pair with the highest similarity; among equals the one that was added first
        new = a and b merged: sizes and histograms are summed, the box encloses both
        remove all pairs with a or b
        add (new, c) for every neighbor c of a, then for those of b that are not neighbors of a

A worked example, which a test runs too: an image of 8 x 1 pixels with four regions, by color (black or white) and size.

    pixels         B  W  W W  B B B B     similarity = shared color + (1 - merged size / image size)
    region         0  1   2      3        (0, 1): 0 + 6/8    (1, 2): 1 + 5/8    (2, 3): 0 + 2/8
    merge 1 and 2  0    4        3        (4, 0): 0 + 4/8    (4, 3): 0 + 1/8
    merge 4 and 0     5          3        (5, 3): 1/4 + 0, because one in four pixels of region 5 is black
    merge 5 and 3         6

The implementation differs from the plain algorithm only in speed. Pairs wait in a binary heap, packed in 64 bits: the
similarity in the upper half, the negated order of insertion in the lower. Instead of removing the pairs of a merged
region, the loop skips them when they reach the top. Neighbors are linked lists, so that two lists are concatenated
without a copy; an entry may name a region that has been merged since, whose current region ``_find_root`` finds.

Similarities are integers in units of 2^-23, so that they are the same on every machine. Regions 0..R-1 are the initial
ones, R..2R-2 the merged ones in the order of merging.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detect.proposals.selective_search.compilation import compile_kernel
from detect.proposals.selective_search.segmentation import Segmentation

SIMILARITY_UNIT = float(1 << 23)  # the integer for similarity 1; sums of floats up to it are exact


@dataclass(frozen=True)
class Similarity:
    """The measures to sum; each lies in 0..1."""

    color: bool = False
    texture: bool = False
    size: bool = False
    fill: bool = False


@dataclass(frozen=True)
class Grouping:
    """The R-1 merged regions in the order of merging; the first of them is region R.

    boxes (R-1, 4) int32; children (R-1, 2) int32: the two regions that were merged; similarities (R-1,) int64: the sum
    of the measures of these two, in units of 2^-23.
    """

    boxes: NDArray[np.int32]
    children: NDArray[np.int32]
    similarities: NDArray[np.int64]


def group_regions(
    segmentation: Segmentation, histograms: NDArray[np.float32], color_bins: int, measures: Similarity
) -> Grouping:
    """Merge regions until one is left.

    histograms (R, bins) float32: the pixels of each region by color (the first ``color_bins`` columns) and texture.
    """
    num_regions = len(segmentation.sizes)
    first_column = 0 if measures.color else color_bins
    end_column = histograms.shape[1] if measures.texture else color_bins
    counts = (
        histograms[:, first_column:end_column].copy()
        if first_column < end_column
        else np.empty((num_regions, 0), np.float32)
    )
    color_columns = min(color_bins, end_column) - first_column  # columns of ``counts`` with color
    boxes = np.empty((2 * num_regions - 1, 4), np.int32)
    boxes[:num_regions] = segmentation.boxes
    sizes = np.full(2 * num_regions - 1, segmentation.labels.size, np.int32)
    sizes[:num_regions] = segmentation.sizes
    children, similarities = np.empty((num_regions - 1, 2), np.int32), np.empty(num_regions - 1, np.int64)
    _run_grouping(
        counts,
        color_columns,
        measures.size,
        measures.fill,
        segmentation.neighbors,
        sizes,
        boxes,
        children,
        similarities,
    )
    return Grouping(boxes[num_regions:], children, similarities)


@compile_kernel("f4(f4[::1], f4[::1])")
def _intersection(a: NDArray[Any], b: NDArray[Any]) -> Any:
    """Return the sum of the bin-wise minima of two histograms (bins,)."""
    total = np.float32(0)
    for i in range(len(a)):
        total += a[i] if a[i] < b[i] else b[i]
    return total


@compile_kernel("void(f4[::1], i8, f4[::1])")
def _normalize(counts: NDArray[Any], color_columns: int, normalized: NDArray[Any]) -> None:
    """L1-normalize the color and the texture histogram of a region, in units of 2^-23 rounded down."""
    for start, end in ((0, color_columns), (color_columns, len(counts))):
        total = np.float64(0)
        for i in range(start, end):
            total += counts[i]
        scale = np.float32(SIMILARITY_UNIT / max(total, 1.0))
        for i in range(start, end):
            normalized[i] = np.floor(counts[i] * scale)


@compile_kernel("i8(f4[::1], f4[::1], i8, i4[:,::1], i4[::1], b1, b1, i8, i8)")
def _similarity(
    a_histogram: NDArray[Any],
    b_histogram: NDArray[Any],
    color_columns: int,
    boxes: NDArray[Any],
    sizes: NDArray[Any],
    use_size: bool,
    use_fill: bool,
    a: Any,
    b: Any,
) -> Any:
    """Return the summed measures of regions a and b: color and texture intersection, size and fill.

    Size is high if the two are small, fill if they fill the box around both.
    """
    total = np.int64(0)
    if len(a_histogram) > 0:
        total += np.int64(_intersection(a_histogram[:color_columns], b_histogram[:color_columns]))
        total += np.int64(_intersection(a_histogram[color_columns:], b_histogram[color_columns:]))
    merged_size = sizes[a] + sizes[b]
    image_size = np.float64(sizes[-1])
    if use_size:
        total += np.int64((1 - merged_size / image_size) * SIMILARITY_UNIT)
    if use_fill:
        width = max(boxes[a, 2], boxes[b, 2]) - min(boxes[a, 0], boxes[b, 0])
        height = max(boxes[a, 3], boxes[b, 3]) - min(boxes[a, 1], boxes[b, 1])
        total += np.int64((1 - (width * height - merged_size) / image_size) * SIMILARITY_UNIT)
    return total


@compile_kernel("void(i8[::1], i8, i8)")
def _heap_push(heap: NDArray[Any], slot: int, entry: int) -> None:
    """Insert ``entry`` at the empty ``slot`` or at an ancestor of it."""
    while slot > 0:
        parent = (slot - 1) >> 1
        if heap[parent] >= entry:
            break
        heap[slot] = heap[parent]
        slot = parent
    heap[slot] = entry


@compile_kernel("i8(i8[::1], i8)")
def _heap_pop(heap: NDArray[Any], length: int) -> Any:
    """Remove and return the largest of ``length`` entries.

    The hole moves to the bottom; the last entry is inserted there and moves up.
    """
    top = heap[0]
    last = heap[length - 1]
    slot = 0
    child = 1
    while child < length - 1:
        if child + 1 < length - 1 and heap[child + 1] > heap[child]:
            child += 1
        heap[slot] = heap[child]
        slot = child
        child = 2 * slot + 1
    if length > 1:
        _heap_push(heap, slot, last)
    return top


@compile_kernel("i4(i4[::1], i4)")
def _find_root(merged_into: NDArray[Any], node: int) -> int:
    """Return the current region of ``node``; ``merged_into`` maps a merged region to its successor, others to
    themselves.
    """
    root = node
    while merged_into[root] != root:
        root = merged_into[root]
    while merged_into[node] != root:
        merged_into[node], node = root, merged_into[node]
    return root


@compile_kernel("i8[::1](i8[::1], i8)")
def _grow_if_full(array: NDArray[Any], length: int) -> NDArray[Any]:
    """Return the array, or a copy twice as long if all ``length`` elements of it are used."""
    if length < len(array):
        return array
    longer = np.empty(2 * length + 16, np.int64)
    longer[:length] = array
    return longer


@compile_kernel("void(i4[:,::1], i4[:,::1], i4[:,::1])")
def _build_neighbor_lists(neighbors: NDArray[Any], ends: NDArray[Any], entries: NDArray[Any]) -> None:
    """Build linked lists: ends (regions, first and last slot), entries (neighbor, next slot or -1)."""
    ends[:] = -1
    for i in range(len(neighbors)):
        for side in range(2):
            node, slot = neighbors[i, side], 2 * i + side
            entries[slot, 0] = neighbors[i, 1 - side]
            entries[slot, 1] = -1
            if ends[node, 0] < 0:
                ends[node, 0] = slot
            else:
                entries[ends[node, 1], 1] = slot
            ends[node, 1] = slot


@compile_kernel("i8(i4[:,::1], i4[:,::1], i4[::1], i4[::1], i8, i8, i8)")
def _merge_neighbor_lists(
    ends: NDArray[Any],
    entries: NDArray[Any],
    merged_into: NDArray[Any],
    listed_for: NDArray[Any],
    a: int,
    b: int,
    new: int,
) -> int:
    """Merge the lists of ``a`` and ``b`` into that of ``new``, each current region once; return its length."""
    entries[ends[a, 1], 1] = ends[b, 0]
    slot, last, length = ends[a, 0], np.int32(-1), 0
    while slot >= 0:
        other, next_slot = _find_root(merged_into, entries[slot, 0]), entries[slot, 1]
        if other != new and listed_for[other] != new:
            listed_for[other] = new
            entries[slot, 0] = other
            if last < 0:
                ends[new, 0] = slot
            else:
                entries[last, 1] = slot
            last = slot
            length += 1
        slot = next_slot
    if last >= 0:
        entries[last, 1] = -1
    ends[new, 1] = last
    return length


@compile_kernel("void(i4[:,::1], i4[::1], i8, i8, i8)")
def _merge_extents(boxes: NDArray[Any], sizes: NDArray[Any], a: int, b: int, new: int) -> None:
    """Set the size and the box of ``new`` from those of ``a`` and ``b``."""
    sizes[new] = sizes[a] + sizes[b]
    for side in range(2):
        boxes[new, side] = min(boxes[a, side], boxes[b, side])
        boxes[new, side + 2] = max(boxes[a, side + 2], boxes[b, side + 2])


@compile_kernel("void(f4[:,::1], i8, b1, b1, i4[:,::1], i4[::1], i4[:,::1], i4[:,::1], i8[::1])")
def _run_grouping(
    counts: NDArray[Any],
    color_columns: int,
    use_size: bool,
    use_fill: bool,
    neighbors: NDArray[Any],
    sizes: NDArray[Any],
    boxes: NDArray[Any],
    children: NDArray[Any],
    similarities: NDArray[Any],
) -> None:
    """Fill boxes (2R-1, 4), sizes (2R-1,), children (R-1, 2) and similarities (R-1,) of the merged regions.

    The last size, that of the image, is set by the caller. A merged region takes over the histogram row of one of its
    children: ``counts`` is overwritten.
    """
    num_regions, num_nodes, num_edges = len(counts), len(sizes), len(neighbors)
    normalized = np.empty_like(counts)
    for region in range(num_regions):
        _normalize(counts[region], color_columns, normalized[region])
    row = np.arange(num_nodes)
    merged_into = np.arange(num_nodes).astype(np.int32)
    listed_for = np.full(num_nodes, -1, np.int32)
    ends = np.empty((num_nodes, 2), np.int32)
    entries = np.empty((2 * num_edges, 2), np.int32)
    _build_neighbor_lists(neighbors, ends, entries)

    pairs = np.empty(8 * num_edges + 16, np.int64)  # every pair that has ever been neighbors, as (a << 32) | b
    heap = np.empty(4 * num_edges + 16, np.int64)  # similarity in the upper half, negated order in the lower
    for num_pairs in range(num_edges):
        a, b = np.int64(neighbors[num_pairs, 0]), np.int64(neighbors[num_pairs, 1])
        pairs[num_pairs] = (a << 32) | b
        similarity = _similarity(normalized[a], normalized[b], color_columns, boxes, sizes, use_size, use_fill, a, b)
        _heap_push(heap, num_pairs, (similarity << 32) | (0xFFFFFFFF - num_pairs))
    num_pairs, heap_size = num_edges, num_edges
    for new in range(num_regions, num_nodes):
        a, b, top = np.int64(0), np.int64(0), np.int64(0)
        while True:
            top = _heap_pop(heap, heap_size)
            index = 0xFFFFFFFF - (top & 0xFFFFFFFF)
            heap_size -= 1
            a, b = pairs[index] >> 32, pairs[index] & 0xFFFFFFFF
            if merged_into[a] == a and merged_into[b] == b:
                break
        merged_into[a] = merged_into[b] = new
        merge = new - num_regions
        children[merge, 0], children[merge, 1], similarities[merge] = a, b, top >> 32
        row[new] = row[a]
        counts[row[a]] += counts[row[b]]
        _normalize(counts[row[a]], color_columns, normalized[row[a]])
        _merge_extents(boxes, sizes, a, b, new)
        slot = ends[new, 0]
        for _ in range(_merge_neighbor_lists(ends, entries, merged_into, listed_for, a, b, new)):
            slot = entries[slot, 1] if slot >= 0 else ends[new, 0]
            other = np.int64(entries[slot, 0])
            similarity = _similarity(
                normalized[row[new]],
                normalized[row[other]],
                color_columns,
                boxes,
                sizes,
                use_size,
                use_fill,
                new,
                other,
            )
            pairs, heap = _grow_if_full(pairs, num_pairs), _grow_if_full(heap, heap_size)
            pairs[num_pairs] = (new << 32) | other
            _heap_push(heap, heap_size, (similarity << 32) | (0xFFFFFFFF - num_pairs))
            num_pairs += 1
            heap_size += 1
