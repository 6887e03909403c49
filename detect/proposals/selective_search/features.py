"""Colour and texture of regions as histograms (Uijlings et al. 2013, section 3.2).

Colour: 25 bins a channel. Texture: Gaussian derivatives with sigma 1 in eight orientations, 10 bins for each of them
and each channel. A derivative along an axis is positive or negative, so the eight orientations are the two halves of
four axes, and a pixel is counted once an axis, in one of 19 signed bins: -9 to 9.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from detect.proposals.selective_search.colour import Planes
from detect.proposals.selective_search.compilation import compiled

COLOUR_BINS = 25
TEXTURE_BINS = 10
ORIENTATIONS = 8
_SIGMA = 1.0
_STEEPEST = 0.43 * 255  # the derivative that falls in the last bin, as in the authors' code
_CODES = 5  # a pixel has one colour code and four axis codes in each channel
_COUNTED = COLOUR_BINS + 4 * (2 * TEXTURE_BINS - 1)  # bins counted in each channel


def pixel_codes(planes: Planes) -> NDArray[np.uint16]:
    """The bins that each pixel falls in, (H, W, 5C): for each channel its colour and its derivative on four axes."""
    channels, height, width = planes.shape
    reach = int(np.ceil(4 * _SIGMA))
    at = np.arange(-reach, reach + 1)
    bell = np.exp(-0.5 * (at / _SIGMA) ** 2)
    bell /= bell.sum()
    slope = at / _SIGMA**2 * bell
    codes = np.empty((height, width, _CODES * channels), np.uint16)
    for channel, plane in enumerate(planes):
        across = cv2.sepFilter2D(plane, cv2.CV_32F, slope, bell, borderType=cv2.BORDER_REPLICATE)
        down = cv2.sepFilter2D(plane, cv2.CV_32F, bell, slope, borderType=cv2.BORDER_REPLICATE)
        _encode(plane, across, down, channel, codes)
    return codes


def count(codes: NDArray[np.uint16], labels: NDArray[np.int32], regions: int) -> NDArray[np.float32]:
    """Histograms of regions 0..regions-1 in pixels, (regions, 105C) float32.

    First 25C colour bins, then 80C texture bins; the eight orientations of a channel follow each other.
    """
    channels = codes.shape[2] // _CODES
    signed = np.zeros((regions, _COUNTED * channels), np.int32)
    _count(codes.reshape(-1, codes.shape[2]), labels.reshape(-1), signed)
    histograms = np.empty((regions, (COLOUR_BINS + ORIENTATIONS * TEXTURE_BINS) * channels), np.float32)
    _unfold(signed, channels, histograms)
    return histograms


@compiled("void(u1[:,::1], f4[:,::1], f4[:,::1], i8, u2[:,:,::1])")
def _encode(plane: NDArray[Any], across: NDArray[Any], down: NDArray[Any], channel: int, codes: NDArray[Any]) -> None:
    """Each code is the place of a pixel's bin among the counted bins of a region."""
    height, width = plane.shape
    scale = np.float32((TEXTURE_BINS - 1) / _STEEPEST)
    diagonal = np.float32(scale * 0.5**0.5)
    last = np.float32(TEXTURE_BINS - 1)
    start = channel * _COUNTED
    texture = start + COLOUR_BINS + TEXTURE_BINS - 1
    step = 2 * TEXTURE_BINS - 1
    for y in range(height):
        for x in range(width):
            right, below = across[y, x], down[y, x]
            codes[y, x, 5 * channel] = start + (plane[y, x] * (COLOUR_BINS - 1) + 127) // 255
            slopes = (right * scale, (right + below) * diagonal, below * scale, (below - right) * diagonal)
            for axis in range(4):
                value = min(max(slopes[axis], -last), last)
                codes[y, x, 5 * channel + 1 + axis] = (
                    texture + step * axis + np.int32(np.floor(value + np.float32(0.5)))
                )


@compiled("void(u2[:,::1], i4[::1], i4[:,::1])")
def _count(codes: NDArray[Any], labels: NDArray[Any], signed: NDArray[Any]) -> None:
    pixels, width = codes.shape
    for pixel in range(pixels):
        row = signed[np.uint32(labels[pixel])]
        for j in range(width):
            row[codes[pixel, j]] += 1


@compiled("void(i4[:,::1], i8, f4[:,::1])")
def _unfold(signed: NDArray[Any], channels: int, histograms: NDArray[Any]) -> None:
    """From signed bins to two orientations an axis; a pixel that slopes one way is in the first bin of the other."""
    step = 2 * TEXTURE_BINS - 1
    for region in range(len(signed)):
        for channel in range(channels):
            start = channel * _COUNTED
            for i in range(COLOUR_BINS):
                histograms[region, channel * COLOUR_BINS + i] = signed[region, start + i]
            for axis in range(4):
                zero = start + COLOUR_BINS + step * axis + TEXTURE_BINS - 1
                to = channels * COLOUR_BINS + ((channel * 4 + axis) * 2) * TEXTURE_BINS
                rising, falling = 0, 0
                for i in range(1, TEXTURE_BINS):
                    rising += signed[region, zero + i]
                    falling += signed[region, zero - i]
                    histograms[region, to + i] = signed[region, zero + i]
                    histograms[region, to + TEXTURE_BINS + i] = signed[region, zero - i]
                flat = signed[region, zero]
                histograms[region, to] = flat + falling
                histograms[region, to + TEXTURE_BINS] = flat + rising
