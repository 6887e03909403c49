"""The edges of an image's pixel graph, sorted by weight: what every scale of a segmentation starts from.

Sorting does not depend on the scale k, so one sort of a colour space serves every k.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from detect.proposals.selective_search.colour import Planes
from detect.proposals.selective_search.compilation import compiled

SIGMA = 0.8
STEPS_PER_UNIT = 8192  # weights are held in 22 bits: 0 to 255 * sqrt(3), and up to 512, in steps of 1/8192
_HEAVIEST = np.float32((1 << 22) - 1)


@dataclass(frozen=True)
class SortedEdges:
    """Edges by increasing weight, of an image of ``shape`` (H, W).

    packed (E,) uint64: the weight in steps of 1/8192 in the upper half, ``4 * pixel + direction`` in the lower.
    """

    packed: NDArray[np.uint64]
    shape: tuple[int, int]


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
    counts = np.zeros((2, 2048), np.uint32)
    _weigh_edges(image, contrast * STEPS_PER_UNIT, weights, counts)
    edges = int(counts[0].sum())
    packed, spare = np.empty(edges, np.uint64), np.empty(edges, np.uint64)
    _radix_sort(weights, counts, packed, spare)
    return SortedEdges(packed, (height, width))


# Indices are unsigned where a kernel's time is spent: numba lets signed ones count from the end, at the cost of a test.


@compiled("void(f4[:,:,::1], f4, u4[:,:,::1], u4[:,::1])")
def _weigh_edges(image: NDArray[Any], steps: float, weights: NDArray[Any], counts: NDArray[Any]) -> None:
    """Weights by direction (right, down, down-right, up-right) and pixel; how often each digit of 11 bits occurs."""
    channels, height, width = image.shape
    total = np.empty(width, np.float32)
    for direction in range(4):
        dx = 0 if direction == 1 else 1
        dy = (0, 1, 1, -1)[direction]
        for y in range(max(0, -dy), height - max(0, dy)):
            total[:] = 0
            for c in range(channels):
                here, there = image[c, y], image[c, y + dy, dx:]
                for x in range(len(there)):
                    difference = here[x] - there[x]
                    total[x] += difference * difference
            row = weights[direction, y, : width - dx]
            for x in range(len(row)):
                row[x] = np.uint32(np.int32(min(np.sqrt(total[x]) * steps + np.float32(0.5), _HEAVIEST)))
            for weight in row:
                counts[0, weight & np.uint32(2047)] += 1
                counts[1, weight >> np.uint32(11)] += 1


@compiled("void(u4[:,:,::1], u4[:,::1], u8[::1], u8[::1])")
def _radix_sort(weights: NDArray[Any], counts: NDArray[Any], packed: NDArray[Any], spare: NDArray[Any]) -> None:
    """Sort by the lower digit into ``spare``, then, keeping that order among equals, by the upper into ``packed``."""
    _, height, width = weights.shape
    place = np.zeros((2, 2048), np.uint32)
    for digit in range(2):
        for value in range(1, 2048):
            place[digit, value] = place[digit, value - 1] + counts[digit, value - 1]
    for direction in range(4):
        dx = 0 if direction == 1 else 1
        dy = (0, 1, 1, -1)[direction]
        for y in range(max(0, -dy), height - max(0, dy)):
            for x in range(width - dx):
                weight = weights[direction, y, x]
                digit = weight & np.uint32(2047)
                spot = place[0, digit]
                place[0, digit] = spot + 1
                spare[spot] = (np.uint64(weight) << np.uint64(32)) | np.uint64(4 * (y * width + x) + direction)
    for item in spare:
        upper = np.uint32(item >> np.uint64(43))
        spot = place[1, upper]
        place[1, upper] = spot + 1
        packed[spot] = item
