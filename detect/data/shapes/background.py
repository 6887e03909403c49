"""The background of the built-in images: gradients, grain, and clutter that belongs to no class."""

from __future__ import annotations

import cv2
import numpy as np

from detect.types import Size

_SHIFT = 3  # OpenCV's fixed-point bits: clutter is placed to an eighth of a pixel
_T = np.linspace(0, 1, 24)[:, None]
_FRAGMENTS = (
    np.stack([np.cos(np.linspace(0, 1.6, 12)), np.sin(np.linspace(0, 1.6, 12))], axis=1),
    np.stack([np.cos(np.linspace(0, 3.1, 16)), np.sin(np.linspace(0, 3.1, 16))], axis=1),
    np.array([[-1.0, 0.0], [1.0, 0.0]]),
    np.stack([np.linspace(-1.2, 1.2, 5), 0.4 * (-1.0) ** np.arange(5)], axis=1),
    np.array([[-0.8, 0.8], [-0.8, -0.8], [0.8, -0.8]]),
)
_HUE_PEAKS = np.array([0, 4, 2])  # where red, green and blue peak on a wheel of six


def draw_background(rng: np.random.Generator, size: Size) -> np.ndarray:
    """Draw a background (h, w, 3) uint8 of ``size`` (h, w)."""
    smooth = _enlarge(_gradient(rng, cells=int(rng.integers(4, 8)), strength=rng.uniform(8, 24)), size)
    cells = int(rng.integers(16, 40))
    smooth += _enlarge(rng.standard_normal((cells, cells, 3), dtype=np.float32) * np.float32(rng.uniform(2, 8)), size)
    canvas = np.clip(smooth, 0, 255, out=smooth).astype(np.uint8)
    lines, fragments = rng.integers((3, 2), (10, 7))
    colors = random_colors(rng, lines + fragments)
    for color in colors[:lines]:
        _draw_stroke(canvas, _curve(rng, size), color, opacity=rng.uniform(0.5, 1), thickness=int(rng.integers(1, 3)))
    for color in colors[lines:]:
        _draw_stroke(
            canvas, _fragment(rng, size), color, opacity=rng.uniform(0.6, 1), thickness=int(rng.integers(2, 5))
        )
    return canvas


def random_colors(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return (count, 3) float32 RGB of any hue in 44..211, so that shading by +-40 does not clip."""
    hue, saturation, value = (rng.random((count, 3)) * (6, 0.7, 0.65) + (0, 0.3, 0.35)).T[..., None]
    wheel = np.minimum(np.maximum(np.abs((hue + _HUE_PEAKS) % 6 - 3) - 1, 0), 1)
    return np.asarray(44 + 167 * value * (1 - saturation + saturation * wheel), np.float32)


def _gradient(rng: np.random.Generator, cells: int, strength: float) -> np.ndarray:
    """Return (cells, cells, 3): a gradient between two colors in a random direction, with noise in each cell."""
    angle = rng.uniform(0, 2 * np.pi)
    grid = np.linspace(-0.5, 0.5, cells)
    along = 0.5 + 0.7 * (np.cos(angle) * grid + np.sin(angle) * grid[:, None])
    first, second = random_colors(rng, 2)
    mixed = first + 0.6 * along[..., None] * (second - first)
    return np.asarray(mixed + strength * rng.standard_normal((cells, cells, 3)), np.float32)


def _enlarge(coarse: np.ndarray, size: Size) -> np.ndarray:
    """Enlarge a coarse image (a, b, 3) float32 smoothly to ``size`` (h, w)."""
    return cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)


def _curve(rng: np.random.Generator, size: Size) -> np.ndarray:
    """Return the points (24, 2) of a random quadratic Bezier curve in an image of ``size`` (h, w)."""
    start, bend, end = rng.uniform(-0.1, 1.1, (3, 2)) * (size[1], size[0])
    return np.asarray((1 - _T) ** 2 * start + 2 * _T * (1 - _T) * bend + _T**2 * end)


def _fragment(rng: np.random.Generator, size: Size) -> np.ndarray:
    """Return the points (n, 2) of a short arc, bar, zigzag or corner, which resembles a part of an object only."""
    scale = rng.uniform(0.04, 0.10) * (size[0] + size[1]) / 2
    angle = rng.uniform(0, 2 * np.pi)
    direction = np.array([np.cos(angle), np.sin(angle)])
    points = _FRAGMENTS[rng.integers(len(_FRAGMENTS))]
    rotated = points @ np.stack([direction, direction[::-1] * (-1, 1)])
    return np.asarray(rotated * scale + rng.random(2) * (size[1], size[0]))


def _draw_stroke(canvas: np.ndarray, points: np.ndarray, color: np.ndarray, opacity: float, thickness: int) -> None:
    """Draw an anti-aliased polyline (n, 2) on the canvas (h, w, 3), in place.

    Its color (3,) is mixed with the color of the canvas at the middle of the line.
    """
    height, width = canvas.shape[:2]
    x, y = points[len(points) // 2].astype(int)
    below = canvas[min(max(y, 0), height - 1), min(max(x, 0), width - 1)]
    fixed = np.rint(points * (1 << _SHIFT)).astype(np.int32)
    cv2.polylines(canvas, [fixed], False, (below + opacity * (color - below)).tolist(), thickness, cv2.LINE_AA, _SHIFT)
