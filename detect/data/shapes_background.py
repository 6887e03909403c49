"""The background of the built-in pictures: gradients, grain, and clutter that belongs to no class."""

from __future__ import annotations

import cv2
import numpy as np

from detect.types import Size

_SHIFT = 3  # OpenCV's fixed-point bits: clutter is placed to an eighth of a pixel
_WHEEL = np.array([0, 4, 2])  # where red, green and blue peak on a wheel of six


def background(rng: np.random.Generator, size: Size) -> np.ndarray:
    """(h, w, 3) float32 in about 0..255."""
    canvas = _gradient(rng, size)
    canvas += _clouds(rng, size, cells=int(rng.integers(3, 7)), strength=rng.uniform(8, 22))
    canvas += _clouds(rng, size, cells=int(rng.integers(16, 40)), strength=rng.uniform(2, 8))
    for _ in range(int(rng.integers(3, 10))):
        _line(rng, canvas)
    for _ in range(int(rng.integers(2, 7))):
        _fragment(rng, canvas)
    return canvas


def colour(rng: np.random.Generator) -> np.ndarray:
    """(3,) float32 RGB, any hue, in 44..211: room to shade it by 40 both ways without clipping its mean."""
    hue, saturation, value = rng.random(3) * (6, 0.7, 0.65) + (0, 0.3, 0.35)
    wheel = np.minimum(np.maximum(np.abs((hue + _WHEEL) % 6 - 3) - 1, 0), 1)
    return np.asarray(44 + 167 * value * (1 - saturation + saturation * wheel), np.float32)


def _gradient(rng: np.random.Generator, size: Size) -> np.ndarray:
    """From one colour towards another, along a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32) / max(size)
    along = np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y
    along = (along - along.min()) / np.ptp(along)
    first, second = colour(rng), colour(rng)
    return np.asarray(first + along[..., None] * np.float32(0.6) * (second - first), np.float32)


def _clouds(rng: np.random.Generator, size: Size, cells: int, strength: float) -> np.ndarray:
    """Smooth noise with about ``cells`` bumps a side."""
    coarse = rng.standard_normal((cells, cells, 3), dtype=np.float32) * np.float32(strength)
    return cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)


def _line(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """A thin curve from somewhere to somewhere."""
    height, width = canvas.shape[:2]
    start, bend, end = rng.uniform(-0.1, 1.1, (3, 2)) * (width, height)
    t = np.linspace(0, 1, 24)[:, None]
    points = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
    _stroke(rng, canvas, points, thickness=int(rng.integers(1, 3)))


def _fragment(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """A short arc, bar, zigzag or corner: pieces that resemble an edge of an object, never a whole one."""
    height, width = canvas.shape[:2]
    reach = rng.uniform(0.04, 0.10) * (height + width) / 2
    kind = rng.integers(4)
    if kind == 0:
        angles = np.linspace(0, rng.uniform(0.5, 1.0) * np.pi, 16)
        points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    elif kind == 1:
        points = np.array([[-1.0, 0.0], [1.0, 0.0]])
    elif kind == 2:
        points = np.stack([np.linspace(-1.2, 1.2, 5), 0.4 * (-1.0) ** np.arange(5)], axis=1)
    else:
        points = np.array([[-0.8, 0.8], [-0.8, -0.8], [0.8, -0.8]])
    turn = rng.uniform(0, 2 * np.pi)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    centre = rng.uniform(0, 1, 2) * (width, height)
    _stroke(rng, canvas, points @ rotation.T * reach + centre, thickness=int(rng.integers(2, 5)))


def _stroke(rng: np.random.Generator, canvas: np.ndarray, points: np.ndarray, thickness: int) -> None:
    """Blend an anti-aliased polyline (n, 2) in a random colour into the canvas, in place."""
    x1, y1 = np.maximum(np.floor(points.min(axis=0)).astype(int) - thickness, 0)
    x2, y2 = np.ceil(points.max(axis=0)).astype(int) + thickness
    part = canvas[y1 : max(y2, 0), x1 : max(x2, 0)]
    if part.size == 0:
        return
    alpha = np.zeros(part.shape[:2], np.uint8)
    fixed = np.rint((points - (x1, y1)) * (1 << _SHIFT)).astype(np.int32)
    cv2.polylines(alpha, [fixed], False, 255, thickness, cv2.LINE_AA, _SHIFT)
    weight = alpha.astype(np.float32)[..., None] * np.float32(rng.uniform(0.5, 1) / 255)
    part += weight * (colour(rng) - part)
