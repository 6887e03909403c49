"""One object of the built-in data set: its outline and texture, before it has a position or a color."""

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

_SUPERSAMPLING = 4  # outlines are filled at this many times the resolution, for smooth edges
# Range of the longer side of a box, as a fraction of the image's; a little inside the limits because of rounding.
_MIN_SIDE, _MAX_SIDE = 0.13, 0.585


@dataclass(frozen=True)
class Sprite:
    """An object cut out of its image: alpha (s, s) in 0..1, shade (s, s) in -1..1, x and y of its upper left corner."""

    alpha: np.ndarray
    shade: np.ndarray
    x: int = 0
    y: int = 0

    @property
    def area(self) -> int:
        """The area in square pixels, including the part outside the image."""
        return int(np.count_nonzero(self.alpha >= 0.5))

    def moved_to(self, x: int, y: int) -> Sprite:
        """Return the same object with its corner at x, y; it may lie outside the image."""
        return replace(self, x=x, y=y)

    def image_slices(self) -> tuple[slice, slice]:
        """Return the rows and columns of an image that the sprite covers; empty where it lies outside."""
        side = len(self.alpha)
        return slice(max(self.y, 0), max(self.y + side, 0)), slice(max(self.x, 0), max(self.x + side, 0))

    def sprite_slices(self, size: Size) -> tuple[slice, slice]:
        """Return the rows and columns of the sprite that lie inside an image of ``size`` (h, w)."""
        rows, columns = max(size[0] - self.y, 0), max(size[1] - self.x, 0)
        return slice(max(-self.y, 0), rows), slice(max(-self.x, 0), columns)

    def mask(self, size: Size) -> np.ndarray:
        """Return (h, w) bool: the pixels of an empty image that the object covers."""
        mask = np.zeros(size, bool)
        mask[self.image_slices()] = self.alpha[self.sprite_slices(size)] >= 0.5
        return mask


def draw_sprite(rng: np.random.Generator, label: int, size: Size) -> Sprite:
    """Draw an object of a random size, rotation and aspect ratio for an image of ``size`` (h, w)."""
    name = CLASSES[label - 1]
    angle, aspect = rng.uniform(0, 2 * np.pi), rng.uniform(0.85, 1.18)
    cos, sin = np.cos(angle), np.sin(angle)
    frame = np.array([[cos, -sin], [sin, cos]]) @ np.diag([aspect, 1 / aspect])
    contours = [contour @ frame.T for contour in _contours(name)]
    extent = np.ptp(contours[0], axis=0) / (size[1], size[0])
    fraction = rng.uniform(_MIN_SIDE, _MAX_SIDE)
    scale = fraction / extent.max()
    side = 2 * int(np.ceil(scale * np.abs(contours[0]).max() + 2))
    fine_mask = np.zeros((side * _SUPERSAMPLING, side * _SUPERSAMPLING), np.uint8)
    points = [np.rint((contour * scale + side / 2) * _SUPERSAMPLING).astype(np.int32) for contour in contours]
    cv2.fillPoly(fine_mask, points, 255)
    alpha = cv2.resize(fine_mask, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    grid = (np.arange(side) + 0.5 - side / 2) / scale
    u, v = (along * grid + across * grid[:, None] for along, across in np.linalg.inv(frame))
    return Sprite(alpha, _shade(rng, name, u, v, scale))


def _contours(name: str) -> list[np.ndarray]:
    """Return contours (n, 2) around the origin, about 1 in radius; a second contour is a hole."""
    match name:
        case "disc" | "striped_disc":
            return [_regular_polygon(48)]
        case "ring":
            return [_regular_polygon(48), 0.55 * _regular_polygon(48)]
        case "square" | "checkered_square":
            return [_regular_polygon(4)]
        case "triangle":
            return [_regular_polygon(3)]
    raise ValueError(f"no outline for {name}")


def _regular_polygon(corners: int) -> np.ndarray:
    """Return the corners (n, 2) of a regular polygon of radius 1."""
    angles = 2 * np.pi * np.arange(corners) / corners
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _shade(rng: np.random.Generator, name: str, u: np.ndarray, v: np.ndarray, scale: float) -> np.ndarray:
    """Return values in -1..1 that are zero on average: a texture in the object's own frame, or a soft gradient."""
    if name == "striped_disc":
        return _square_wave(np.sin(2.5 * np.pi * u), scale)
    if name == "checkered_square":
        # The square's corners are on the axes and its sides are sqrt(2) long, so there are four cells per side.
        return _square_wave(np.sin(2 * np.pi * (u + v)) * np.sin(2 * np.pi * (u - v)), scale)
    angle = rng.uniform(0, 2 * np.pi)
    return np.asarray(0.5 * (u * np.cos(angle) + v * np.sin(angle)), np.float32)


def _square_wave(wave: np.ndarray, scale: float) -> np.ndarray:
    """Turn a wave of -1..1 into a square wave whose edges are about a pixel wide."""
    return np.asarray(np.clip(wave * max(scale / 6, 1), -1, 1), np.float32)
