"""The background of the built-in pictures: gradients, grain, and clutter that belongs to no class."""

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
_WHEEL = np.array([0, 4, 2])  # where red, green and blue peak on a wheel of six


def background(rng: np.random.Generator, size: Size) -> np.ndarray:
    """(h, w, 3) uint8."""
    smooth = _enlarged(_gradient(rng, cells=int(rng.integers(4, 8)), strength=rng.uniform(8, 24)), size)
    cells = int(rng.integers(16, 40))
    smooth += _enlarged(rng.standard_normal((cells, cells, 3), dtype=np.float32) * np.float32(rng.uniform(2, 8)), size)
    canvas = np.clip(smooth, 0, 255, out=smooth).astype(np.uint8)
    lines, fragments = rng.integers((3, 2), (10, 7))
    paints = colours(rng, lines + fragments)
    for paint in paints[:lines]:
        _stroke(canvas, _curve(rng, size), paint, opacity=rng.uniform(0.5, 1), thickness=int(rng.integers(1, 3)))
    for paint in paints[lines:]:
        _stroke(canvas, _fragment(rng, size), paint, opacity=rng.uniform(0.6, 1), thickness=int(rng.integers(2, 5)))
    return canvas


def colours(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 3) float32 RGB, any hue, in 44..211: room to shade it by 40 both ways without clipping its mean."""
    hue, saturation, value = (rng.random((count, 3)) * (6, 0.7, 0.65) + (0, 0.3, 0.35)).T[..., None]
    wheel = np.minimum(np.maximum(np.abs((hue + _WHEEL) % 6 - 3) - 1, 0), 1)
    return np.asarray(44 + 167 * value * (1 - saturation + saturation * wheel), np.float32)


def _gradient(rng: np.random.Generator, cells: int, strength: float) -> np.ndarray:
    """(cells, cells, 3): from one colour towards another along a random direction, each cell a little off."""
    angle = rng.uniform(0, 2 * np.pi)
    place = np.linspace(-0.5, 0.5, cells)
    along = 0.5 + 0.7 * (np.cos(angle) * place + np.sin(angle) * place[:, None])
    first, second = colours(rng, 2)
    mixed = first + 0.6 * along[..., None] * (second - first)
    return np.asarray(mixed + strength * rng.standard_normal((cells, cells, 3)), np.float32)


def _enlarged(coarse: np.ndarray, size: Size) -> np.ndarray:
    """A coarse picture (a, b, 3) float32 drawn smoothly at ``size``."""
    return cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)


def _curve(rng: np.random.Generator, size: Size) -> np.ndarray:
    """(24, 2): a quadratic Bezier curve from somewhere to somewhere."""
    start, bend, end = rng.uniform(-0.1, 1.1, (3, 2)) * (size[1], size[0])
    return np.asarray((1 - _T) ** 2 * start + 2 * _T * (1 - _T) * bend + _T**2 * end)


def _fragment(rng: np.random.Generator, size: Size) -> np.ndarray:
    """(n, 2): a short arc, bar, zigzag or corner. They resemble a piece of an object, never a whole one."""
    reach = rng.uniform(0.04, 0.10) * (size[0] + size[1]) / 2
    turn = rng.uniform(0, 2 * np.pi)
    along = np.array([np.cos(turn), np.sin(turn)])
    points = _FRAGMENTS[rng.integers(len(_FRAGMENTS))]
    rotated = points @ np.stack([along, along[::-1] * (-1, 1)])
    return np.asarray(rotated * reach + rng.random(2) * (size[1], size[0]))


def _stroke(canvas: np.ndarray, points: np.ndarray, paint: np.ndarray, opacity: float, thickness: int) -> None:
    """Draw an anti-aliased polyline (n, 2) on the canvas, in place; the paint is mixed with what lies at its middle."""
    height, width = canvas.shape[:2]
    x, y = points[len(points) // 2].astype(int)
    below = canvas[min(max(y, 0), height - 1), min(max(x, 0), width - 1)]
    fixed = np.rint(points * (1 << _SHIFT)).astype(np.int32)
    cv2.polylines(canvas, [fixed], False, (below + opacity * (paint - below)).tolist(), thickness, cv2.LINE_AA, _SHIFT)
