"""The edges of an image's pixel graph, sorted by weight: the input of the segmentation at every scale.

Sorting does not depend on the scale k, so one sort of a color space serves every k.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from detect.proposals.selective_search.color import Planes
from detect.proposals.selective_search.compilation import compile_kernel

SIGMA = 0.8
STEPS_PER_UNIT = 8192  # weights are stored in 22 bits: 0 to 255 * sqrt(3), at most 512, in steps of 1/8192
_MAX_WEIGHT = np.float32((1 << 22) - 1)


@dataclass(frozen=True)
class SortedEdges:
    """The edges of an image of ``shape`` (H, W) by increasing weight.

    packed (E,) uint64: the weight in steps of 1/8192 in the upper half, ``4 * pixel + direction`` in the lower.
    """

    packed: NDArray[np.uint64]
    shape: tuple[int, int]


def smooth(planes: Planes) -> NDArray[np.float32]:
    """Smooth each plane with a Gaussian of SIGMA, (C, H, W) float32; its kernel ends at 4 SIGMA, borders repeat."""
    radius = int(np.ceil(4 * SIGMA))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / SIGMA) ** 2)
    kernel /= kernel.sum()
    out = np.empty(planes.shape, np.float32)
    for plane, target in zip(planes, out, strict=True):
        cv2.sepFilter2D(plane, cv2.CV_32F, kernel, kernel, dst=target, borderType=cv2.BORDER_REPLICATE)
    return out


def sort_edges(image: NDArray[np.float32], contrast: float = 1.0) -> SortedEdges:
    """Return the edges of ``image`` (C, H, W), values in 0..255, sorted by ``contrast`` times the distance of their
    ends.
    """
    height, width = image.shape[1:]
    weights = np.empty((4, height, width), np.uint32)
    counts = np.zeros((2, 2048), np.uint32)
    _weigh_edges(image, contrast * STEPS_PER_UNIT, weights, counts)
    num_edges = int(counts[0].sum())
    packed, scratch = np.empty(num_edges, np.uint64), np.empty(num_edges, np.uint64)
    _radix_sort(weights, counts, packed, scratch)
    return SortedEdges(packed, (height, width))


# Indices are unsigned in inner loops: numba lets signed ones count from the end, which costs a test for each access.


@compile_kernel("void(f4[:,:,::1], f4, u4[:,:,::1], u4[:,::1])")
def _weigh_edges(image: NDArray[Any], steps: float, weights: NDArray[Any], counts: NDArray[Any]) -> None:
    """Compute weights (4, H, W) by direction (right, down, down-right, up-right), and counts (2, 2048) of their digits.

    A weight has two digits of 11 bits, the lower first.
    """
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
                row[x] = np.uint32(np.int32(min(np.sqrt(total[x]) * steps + np.float32(0.5), _MAX_WEIGHT)))
            for weight in row:
                counts[0, weight & np.uint32(2047)] += 1
                counts[1, weight >> np.uint32(11)] += 1


@compile_kernel("void(u4[:,:,::1], u4[:,::1], u8[::1], u8[::1])")
def _radix_sort(weights: NDArray[Any], counts: NDArray[Any], packed: NDArray[Any], scratch: NDArray[Any]) -> None:
    """Sort by the lower digit into ``scratch``, then, stably, by the upper digit into ``packed``."""
    _, height, width = weights.shape
    next_slot = np.zeros((2, 2048), np.uint32)
    for digit in range(2):
        for digit_value in range(1, 2048):
            next_slot[digit, digit_value] = next_slot[digit, digit_value - 1] + counts[digit, digit_value - 1]
    for direction in range(4):
        dx = 0 if direction == 1 else 1
        dy = (0, 1, 1, -1)[direction]
        for y in range(max(0, -dy), height - max(0, dy)):
            for x in range(width - dx):
                weight = weights[direction, y, x]
                digit = weight & np.uint32(2047)
                slot = next_slot[0, digit]
                next_slot[0, digit] = slot + 1
                scratch[slot] = (np.uint64(weight) << np.uint64(32)) | np.uint64(4 * (y * width + x) + direction)
    for edge in scratch:
        upper = np.uint32(edge >> np.uint64(43))
        slot = next_slot[1, upper]
        next_slot[1, upper] = slot + 1
        packed[slot] = edge
