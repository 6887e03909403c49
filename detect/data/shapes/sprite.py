"""One object of the built-in data set: an outline, smooth edges, a texture, before it has a place or a colour."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from detect.types import Size

CLASSES: tuple[str, ...] = (
    "disc",
    "ring",
    "square",
    "triangle",
    "striped_disc",
    "checkered_square",
)

_FINE = 4  # outlines are filled on a grid this many times finer, for smooth edges
# The longer side of a box, of the picture's: short of the limits, for rounding and for the other side.
_SMALLEST, _LARGEST = 0.13, 0.585


@dataclass(frozen=True)
class Sprite:
    """An object cut out of its picture: coverage (s, s) in 0..1, shade (s, s) in -1..1, x and y of its corner."""

    coverage: np.ndarray
    shade: np.ndarray
    x: int = 0
    y: int = 0

    @property
    def area(self) -> int:
        """Square pixels, those outside the picture too."""
        return int(np.count_nonzero(self.coverage >= 0.5))

    def at(self, x: int, y: int) -> Sprite:
        """The same object with its corner elsewhere; it may lie outside the picture."""
        return replace(self, x=x, y=y)

    def on_picture(self) -> tuple[slice, slice]:
        """The part of a picture that the sprite lies on, empty where it lies outside."""
        side = len(self.coverage)
        return slice(max(self.y, 0), max(self.y + side, 0)), slice(max(self.x, 0), max(self.x + side, 0))

    def inside(self, size: Size) -> tuple[slice, slice]:
        """The part of the sprite that lies on a picture of that size."""
        rows, columns = max(size[0] - self.y, 0), max(size[1] - self.x, 0)
        return slice(max(-self.y, 0), rows), slice(max(-self.x, 0), columns)

    def mask(self, size: Size) -> np.ndarray:
        """(h, w) bool: where the object shows on an empty picture."""
        whole = np.zeros(size, bool)
        whole[self.on_picture()] = self.coverage[self.inside(size)] >= 0.5
        return whole


def draw(rng: np.random.Generator, label: int, size: Size) -> Sprite:
    """An object of random size, turn and proportion."""
    name = CLASSES[label - 1]
    turn, aspect = rng.uniform(0, 2 * np.pi), rng.uniform(0.85, 1.18)
    cos, sin = np.cos(turn), np.sin(turn)
    frame = np.array([[cos, -sin], [sin, cos]]) @ np.diag([aspect, 1 / aspect])
    contours = [contour @ frame.T for contour in _outline(name)]
    reach = np.ptp(contours[0], axis=0) / (size[1], size[0])
    fraction = rng.uniform(_SMALLEST, _LARGEST)
    scale = fraction / reach.max()
    side = 2 * int(np.ceil(scale * np.abs(contours[0]).max() + 2))
    fine = np.zeros((side * _FINE, side * _FINE), np.uint8)
    points = [np.rint((contour * scale + side / 2) * _FINE).astype(np.int32) for contour in contours]
    cv2.fillPoly(fine, points, 255)
    coverage = cv2.resize(fine, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    place = (np.arange(side) + 0.5 - side / 2) / scale
    u, v = (along * place + across * place[:, None] for along, across in np.linalg.inv(frame))
    return Sprite(coverage, _shade(rng, name, u, v, scale))


def _outline(name: str) -> list[np.ndarray]:
    """Contours (n, 2) around the origin, about 1 in radius; a second contour is a hole."""
    match name:
        case "disc" | "striped_disc":
            return [_regular(48)]
        case "ring":
            return [_regular(48), 0.55 * _regular(48)]
        case "square" | "checkered_square":
            return [_regular(4)]
        case "triangle":
            return [_regular(3)]
    raise ValueError(f"no outline for {name}")


def _regular(corners: int) -> np.ndarray:
    angles = 2 * np.pi * np.arange(corners) / corners
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _shade(rng: np.random.Generator, name: str, u: np.ndarray, v: np.ndarray, scale: float) -> np.ndarray:
    """-1..1, zero on average: texture in the object's own frame, or a soft light across it."""
    if name == "striped_disc":
        return _crisp(np.sin(2.5 * np.pi * u), scale)
    if name == "checkered_square":
        # The square's corners are on the axes and its sides sqrt(2) long: four cells a side.
        return _crisp(np.sin(2 * np.pi * (u + v)) * np.sin(2 * np.pi * (u - v)), scale)
    angle = rng.uniform(0, 2 * np.pi)
    return np.asarray(0.5 * (u * np.cos(angle) + v * np.sin(angle)), np.float32)


def _crisp(wave: np.ndarray, scale: float) -> np.ndarray:
    """A wave of -1..1 made a square wave whose edges are about a pixel wide."""
    return np.asarray(np.clip(wave * max(scale / 6, 1), -1, 1), np.float32)
