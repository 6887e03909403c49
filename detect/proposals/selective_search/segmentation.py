"""Graph segmentation (Felzenszwalb and Huttenlocher 2004), the first regions of selective search.

Pixels are nodes; each is joined to its eight neighbours by an edge whose weight is their distance in colour. Edges are
taken in the order of their weight, and one joins two components when it weighs no more than ``w + k / size`` of either,
where w is the heaviest edge inside it. Sorting the edges does not depend on k, so one sort serves every k.

An edge that does not join at its turn and has its ends in two components is kept: only such edges can remove the
components that are too small, and only such edges lie between two regions in the end.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from detect.proposals.selective_search.colour import Planes
from detect.proposals.selective_search.compilation import compiled

SIGMA = 0.8
_STEPS_PER_UNIT = 8192  # weights are held in 22 bits: 0 to 255 * sqrt(3) in steps of 1/8192


@dataclass(frozen=True)
class SortedEdges:
    """Edges by increasing weight, of an image of ``shape`` (H, W).

    packed (E,) uint64: the weight in steps of 1/8192 in the upper half, ``4 * pixel + direction`` in the lower.
    """

    packed: NDArray[np.uint64]
    shape: tuple[int, int]


@dataclass(frozen=True)
class Segmentation:
    """labels (H, W) int32 in 0..R-1; sizes (R,) in pixels; boxes (R, 4) int32, x1 y1 x2 y2 with x2, y2 past the end.

    neighbours (E, 2) int32: each pair of touching regions once, smaller label first.
    """

    labels: NDArray[np.int32]
    sizes: NDArray[np.int32]
    boxes: NDArray[np.int32]
    neighbours: NDArray[np.int32]


def smooth(planes: Planes, sigma: float = SIGMA) -> NDArray[np.float32]:
    """Gaussian smoothing of each plane, (C, H, W) float32, by a kernel that ends at 4 sigma; borders are repeated."""
    reach = int(np.ceil(4 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    out = np.empty(planes.shape, np.float32)
    for plane, target in zip(planes, out, strict=True):
        cv2.sepFilter2D(plane, cv2.CV_32F, kernel, kernel, dst=target, borderType=cv2.BORDER_REPLICATE)
    return out


def sort_edges(image: NDArray[np.float32], contrast: float = 1.0) -> SortedEdges:
    """The edges of ``image`` (C, H, W), values in 0..255, sorted by ``contrast`` times the distance of their ends."""
    height, width = image.shape[1:]
    weights = np.empty((4, height, width), np.uint32)
    counts = np.zeros((2, 2048), np.int64)
    _weigh_edges(image, np.float32(contrast * _STEPS_PER_UNIT), weights, counts)
    edges = int(counts[0].sum())
    packed, spare = np.empty(edges, np.uint64), np.empty(edges, np.uint64)
    _radix_sort(weights, counts, packed, spare)
    return SortedEdges(packed, (height, width))


def segment(edges: SortedEdges, k: float, min_size: int) -> Segmentation:
    """The regions at scale ``k``; those under ``min_size`` pixels are joined to the neighbour across the lightest edge."""
    height, width = edges.shape
    parent = np.empty(height * width, np.int32)
    between = np.empty(len(edges.packed), np.uint32)
    kept = _join(edges.packed, width, np.float32(k), min_size, parent, between)
    labels = np.empty((height, width), np.int32)
    regions = _label(parent, labels.reshape(-1))
    sizes = np.zeros(regions, np.int32)
    boxes = np.empty((regions, 4), np.int32)
    _measure(labels, sizes, boxes)
    neighbours = np.empty((kept, 2), np.int32)
    pairs = _find_neighbours(between[:kept], labels, regions, neighbours)
    return Segmentation(labels, sizes, boxes, neighbours[:pairs].copy())


@compiled("void(f4[:,:,::1], f4, u4[:,:,::1], i8[:,::1])")
def _weigh_edges(image, steps, weights, counts):  # type: ignore[no-untyped-def]
    """Weights by direction (right, down, down-right, up-right) and pixel, and how often each digit of 11 bits occurs."""
    channels, height, width = image.shape
    for direction in range(4):
        dx = 0 if direction == 1 else 1
        dy = (0, 1, 1, -1)[direction]
        for y in range(max(0, -dy), height - max(0, dy)):
            row = weights[direction, y]
            for x in range(width - dx):
                total = np.float32(0)
                for c in range(channels):
                    difference = image[c, y, x] - image[c, y + dy, x + dx]
                    total += difference * difference
                row[x] = np.uint32(np.sqrt(total) * steps + np.float32(0.5))
            for x in range(width - dx):
                counts[0, row[x] & 2047] += 1
                counts[1, row[x] >> 11] += 1


@compiled("void(u4[:,:,::1], i8[:,::1], u8[::1], u8[::1])")
def _radix_sort(weights, counts, packed, spare):  # type: ignore[no-untyped-def]
    """Sort by the lower digit into ``spare``, then, keeping that order among equals, by the upper into ``packed``."""
    _, height, width = weights.shape
    place = np.zeros((2, 2048), np.int64)
    for digit in range(2):
        for value in range(1, 2048):
            place[digit, value] = place[digit, value - 1] + counts[digit, value - 1]
    for direction in range(4):
        dx = 0 if direction == 1 else 1
        dy = (0, 1, 1, -1)[direction]
        for y in range(max(0, -dy), height - max(0, dy)):
            for x in range(width - dx):
                weight = weights[direction, y, x]
                edge = np.uint64(4 * (y * width + x) + direction)
                spot = place[0, weight & 2047]
                place[0, weight & 2047] = spot + 1
                spare[spot] = (np.uint64(weight) << np.uint64(32)) | edge
    for item in spare:
        upper = item >> np.uint64(43)
        spot = place[1, upper]
        place[1, upper] = spot + 1
        packed[spot] = item


@compiled("i4(i4[::1], i4)")
def _root(parent, node):  # type: ignore[no-untyped-def]
    """The root of ``node``; a root holds minus the size of its component. The node is hung below the root directly."""
    up = parent[node]
    if up < 0:
        return node
    root = up
    while parent[root] >= 0:
        root = parent[root]
    if root != up:
        parent[node] = root
    return root


@compiled("i8(u8[::1], i8, f4, i8, i4[::1], u4[::1])")
def _join(packed, width, k, min_size, parent, between):  # type: ignore[no-untyped-def]
    """Grow the components in ``parent``; returns how many edges between two of them are left in ``between``."""
    offsets = (1, width, width + 1, 1 - width)
    limit = np.empty(len(parent), np.float32)
    parent[:] = -1
    limit[:] = k
    rejected = 0
    for item in packed:
        edge = np.uint32(item & np.uint64(0xFFFFFFFF))
        pixel = np.int32(edge >> np.uint32(2))
        other = np.int32(pixel + offsets[edge & np.uint32(3)])
        if parent[pixel] == parent[other] and parent[pixel] >= 0:
            continue
        a, b = _root(parent, pixel), _root(parent, other)
        if a == b:
            continue
        weight = np.float32(item >> np.uint64(32)) * np.float32(1 / 8192)
        if weight <= limit[a] and weight <= limit[b]:
            if parent[a] > parent[b]:
                a, b = b, a
            parent[a] += parent[b]
            parent[b] = a
            limit[a] = weight + k / np.float32(-parent[a])
        else:
            between[rejected] = edge
            rejected += 1
    kept = 0
    for i in range(rejected):
        edge = between[i]
        pixel = np.int32(edge >> np.uint32(2))
        a, b = _root(parent, pixel), _root(parent, np.int32(pixel + offsets[edge & np.uint32(3)]))
        if a == b:
            continue
        if -parent[a] < min_size or -parent[b] < min_size:
            if parent[a] > parent[b]:
                a, b = b, a
            parent[a] += parent[b]
            parent[b] = a
        else:
            between[kept] = edge
            kept += 1
    return kept


@compiled("i8(i4[::1], i4[::1])")
def _label(parent, labels):  # type: ignore[no-untyped-def]
    """Number the components in the order of their first pixel; returns how many there are."""
    labels[:] = -1
    regions = 0
    for pixel in range(len(parent)):
        root = _root(parent, np.int32(pixel))
        if labels[root] < 0:
            labels[root] = regions
            regions += 1
        # A root after this pixel has its label already; one before it is final.
        labels[pixel] = labels[root]
    return regions


@compiled("void(i4[:,::1], i4[::1], i4[:,::1])")
def _measure(labels, sizes, boxes):  # type: ignore[no-untyped-def]
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


@compiled("i8(u4[::1], i4[:,::1], i8, i4[:,::1])")
def _find_neighbours(between, labels, regions, neighbours):  # type: ignore[no-untyped-def]
    """Each pair of labels that some edge joins, once, ordered by the smaller; returns how many."""
    width = labels.shape[1]
    flat = labels.reshape(-1)
    offsets = (1, width, width + 1, 1 - width)
    starts = np.zeros(regions + 1, np.int64)
    smaller = np.empty(len(between), np.int32)
    larger = np.empty(len(between), np.int32)
    for i, edge in enumerate(between):
        pixel = np.int64(edge >> np.uint32(2))
        a, b = flat[pixel], flat[pixel + offsets[edge & np.uint32(3)]]
        smaller[i], larger[i] = min(a, b), max(a, b)
        starts[smaller[i] + 1] += 1
    for label in range(regions):
        starts[label + 1] += starts[label]
    place = starts.copy()
    by_smaller = np.empty(len(between), np.int32)
    for i in range(len(between)):
        by_smaller[place[smaller[i]]] = larger[i]
        place[smaller[i]] += 1
    seen = np.full(regions, -1, np.int32)
    pairs = 0
    for label in range(regions):
        for i in range(starts[label], starts[label + 1]):
            other = by_smaller[i]
            if other != label and seen[other] != label:
                seen[other] = label
                neighbours[pairs, 0], neighbours[pairs, 1] = label, other
                pairs += 1
    return pairs
