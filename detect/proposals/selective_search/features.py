"""Color and texture histograms of regions (Uijlings et al. 2013, section 3.2).

Color: 25 bins per channel. Texture: Gaussian derivatives with sigma 1 in eight orientations, with 10 bins for each
orientation and channel. A derivative along an axis is positive or negative, so the eight orientations are the two
directions of four axes, and a pixel is counted once per axis, in one of 19 signed bins: -9 to 9.

Sigma and the derivatives of every channel are the paper's; the authors' released code takes sigma 0.8, the derivatives
of the first channel alone, and counts those above 0.43 in the bins of the next orientation.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from detect.proposals.selective_search.color import Planes
from detect.proposals.selective_search.compilation import compile_kernel

COLOR_BINS = 25
TEXTURE_BINS = 10
ORIENTATIONS = 8
_SIGMA = 1.0
_MAX_DERIVATIVE = 0.43 * 255  # a derivative of this and more falls in the last bin; the authors' code has 0.43
_CODES_PER_CHANNEL = 5  # a pixel has one color code and four axis codes in each channel
_BINS_PER_CHANNEL = COLOR_BINS + 4 * (2 * TEXTURE_BINS - 1)  # bins counted in each channel


def pixel_codes(planes: Planes) -> NDArray[np.uint16]:
    """Return the bins of each pixel, (H, W, 5C): for each channel its color and its derivatives along four axes."""
    channels, height, width = planes.shape
    radius = int(np.ceil(4 * _SIGMA))
    offsets = np.arange(-radius, radius + 1)
    gaussian = np.exp(-0.5 * (offsets / _SIGMA) ** 2)
    gaussian /= gaussian.sum()
    derivative = offsets / _SIGMA**2 * gaussian
    codes = np.empty((height, width, _CODES_PER_CHANNEL * channels), np.uint16)
    for channel, plane in enumerate(planes):
        dx = cv2.sepFilter2D(plane, cv2.CV_32F, derivative, gaussian, borderType=cv2.BORDER_REPLICATE)
        dy = cv2.sepFilter2D(plane, cv2.CV_32F, gaussian, derivative, borderType=cv2.BORDER_REPLICATE)
        _encode_channel(plane, dx, dy, channel, codes)
    return codes


def count_histograms(codes: NDArray[np.uint16], labels: NDArray[np.int32], num_regions: int) -> NDArray[np.float32]:
    """Return the histograms of regions 0..R-1 in pixels, (R, 105C) float32.

    The first 25C bins are color, the other 80C texture; the eight orientations of a channel are adjacent.
    """
    channels = codes.shape[2] // _CODES_PER_CHANNEL
    signed = np.zeros((num_regions, _BINS_PER_CHANNEL * channels), np.int32)
    _count_codes(codes.reshape(-1, codes.shape[2]), labels.reshape(-1), signed)
    histograms = np.empty((num_regions, (COLOR_BINS + ORIENTATIONS * TEXTURE_BINS) * channels), np.float32)
    _split_orientations(signed, channels, histograms)
    return histograms


@compile_kernel("void(u1[:,::1], f4[:,::1], f4[:,::1], i8, u2[:,:,::1])")
def _encode_channel(plane: NDArray[Any], dx: NDArray[Any], dy: NDArray[Any], channel: int, codes: NDArray[Any]) -> None:
    """Write the codes of a channel (H, W): the index of each pixel's bin among the signed bins of a region."""
    height, width = plane.shape
    scale = np.float32((TEXTURE_BINS - 1) / _MAX_DERIVATIVE)
    diagonal = np.float32(scale * 0.5**0.5)
    max_level = np.float32(TEXTURE_BINS - 1)
    start = channel * _BINS_PER_CHANNEL
    texture = start + COLOR_BINS + TEXTURE_BINS - 1
    step = 2 * TEXTURE_BINS - 1
    for y in range(height):
        for x in range(width):
            right, below = dx[y, x], dy[y, x]
            codes[y, x, 5 * channel] = start + (plane[y, x] * (COLOR_BINS - 1) + 127) // 255
            derivatives = (right * scale, (right + below) * diagonal, below * scale, (below - right) * diagonal)
            for axis in range(4):
                level = min(max(derivatives[axis], -max_level), max_level)
                codes[y, x, 5 * channel + 1 + axis] = (
                    texture + step * axis + np.int32(np.floor(level + np.float32(0.5)))
                )


@compile_kernel("void(u2[:,::1], i4[::1], i4[:,::1])")
def _count_codes(codes: NDArray[Any], labels: NDArray[Any], signed: NDArray[Any]) -> None:
    """Count codes (pixels, 5C) by region into ``signed`` (R, 101C)."""
    pixels, width = codes.shape
    for pixel in range(pixels):
        row = signed[np.uint32(labels[pixel])]
        for j in range(width):
            row[codes[pixel, j]] += 1


@compile_kernel("void(i4[:,::1], i8, f4[:,::1])")
def _split_orientations(signed: NDArray[Any], channels: int, histograms: NDArray[Any]) -> None:
    """Split the signed bins into two orientations per axis; a pixel that slopes one way is in bin 0 of the other."""
    step = 2 * TEXTURE_BINS - 1
    for region in range(len(signed)):
        for channel in range(channels):
            start = channel * _BINS_PER_CHANNEL
            for i in range(COLOR_BINS):
                histograms[region, channel * COLOR_BINS + i] = signed[region, start + i]
            for axis in range(4):
                zero = start + COLOR_BINS + step * axis + TEXTURE_BINS - 1
                target = channels * COLOR_BINS + ((channel * 4 + axis) * 2) * TEXTURE_BINS
                rising, falling = 0, 0
                for i in range(1, TEXTURE_BINS):
                    rising += signed[region, zero + i]
                    falling += signed[region, zero - i]
                    histograms[region, target + i] = signed[region, zero + i]
                    histograms[region, target + TEXTURE_BINS + i] = signed[region, zero - i]
                flat = signed[region, zero]
                histograms[region, target] = flat + falling
                histograms[region, target + TEXTURE_BINS] = flat + rising
