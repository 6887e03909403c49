"""One picture of the built-in data set: shapes on a cluttered background, drawn from a key.

What tells the classes apart is outline and texture. Every fill is one colour from one distribution, shaded evenly to
both sides of it, so a class has no mean colour of its own; the background's clutter is painted from the same colours.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from detect import randomness
from detect.data.shapes_background import background, colours
from detect.types import Size

CLASSES: tuple[str, ...] = (
    "disc",
    "ring",
    "square",
    "triangle",
    "star",
    "cross",
    "striped_disc",
    "checkered_square",
)

_SIDES = (0.10, 0.60)  # of the image's side, for both sides of every box
_LEAST_VISIBLE = 0.62
_WHOLE, _TRUNCATED, _OVERLAPPING = 0, 1, 2
_MANNERS = (0.68, 0.12, 0.20)  # tuned so that a fifth of the objects end truncated or covered in part
_TRIES = 12
_FINE = 4  # outlines are filled on a grid this many times finer, for smooth edges


@dataclass(frozen=True)
class Scene:
    """One picture and its objects, later ones in front of earlier ones.

    rgb (h, w, 3) uint8; boxes (G, 4) float64, tight around the whole object clipped to the picture, covered parts
    included; labels (G,) int64 in 1..8; masks (G, h, w) bool, what each box is tight around; visible (G,) float64: the
    share of the object's area that is inside the picture and not covered, at least 0.62.
    """

    rgb: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    visible: np.ndarray


@dataclass(frozen=True)
class _Sprite:
    """An object cut out of its picture: coverage (s, s) in 0..1, shade (s, s) in -1..1, x and y of its corner."""

    coverage: np.ndarray
    shade: np.ndarray
    x: int = 0
    y: int = 0

    @property
    def area(self) -> int:
        return int(np.count_nonzero(self.coverage >= 0.5))

    def at(self, x: int, y: int) -> _Sprite:
        return _Sprite(self.coverage, self.shade, x, y)

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


def scene(seed: int, split: str, index: int) -> Scene:
    """The picture number ``index`` of a split; it depends on its three arguments and on no other picture."""
    rng = randomness.generator("shapes", seed, split, index)
    height = int(rng.integers(112, 147))
    size = (height, round(128 * 128 / height))
    canvas = background(rng, size).astype(np.float32)
    placed = [] if rng.random() < 0.1 else _place(rng, size, int(rng.integers(1, 5)))
    used: list[np.ndarray] = []
    for _, sprite in placed:
        part, inside = canvas[sprite.on_picture()], sprite.inside(size)
        coverage = sprite.coverage[inside]
        used.append(_contrasting(rng, np.stack([part[coverage >= 0.5].mean(axis=0), *used])))
        part += coverage[..., None] * (used[-1] + 40 * sprite.shade[inside][..., None] - part)
    canvas += np.float32(rng.uniform(1, 5)) * rng.standard_normal((*size, 1), dtype=np.float32)
    return _finish(np.clip(canvas, 0, 255, out=canvas).astype(np.uint8), placed)


def _finish(rgb: np.ndarray, placed: list[tuple[int, _Sprite]]) -> Scene:
    size = (rgb.shape[0], rgb.shape[1])
    masks = np.zeros((len(placed), *size), bool)
    for mask, (_, sprite) in zip(masks, placed, strict=True):
        mask[:] = sprite.mask(size)
    return Scene(
        rgb=rgb,
        boxes=np.array([_extent(mask) for mask in masks], np.float64).reshape(-1, 4),
        labels=np.array([label for label, _ in placed], np.int64),
        masks=masks,
        visible=_visible(masks, np.array([sprite.area for _, sprite in placed])),
    )


def _place(rng: np.random.Generator, size: Size, count: int) -> list[tuple[int, _Sprite]]:
    """Up to ``count`` objects, each at least _LEAST_VISIBLE in sight; one that finds no room is left out."""
    placed: list[tuple[int, _Sprite]] = []
    for _ in range(count):
        label = int(rng.integers(len(CLASSES))) + 1
        manner = int(rng.choice(3, p=_MANNERS))
        if manner == _OVERLAPPING and not placed:
            manner = _WHOLE
        for _ in range(_TRIES):
            sprite = _moved(rng, _draw(rng, label, size), size, manner, placed)
            if _fits([*placed, (label, sprite)], size, manner):
                placed.append((label, sprite))
                break
    return placed


def _moved(
    rng: np.random.Generator, sprite: _Sprite, size: Size, manner: int, placed: list[tuple[int, _Sprite]]
) -> _Sprite:
    """The sprite at a random place of the kind that ``manner`` names; _fits says whether it will do."""
    x1, y1, x2, y2 = (int(edge) for edge in _extent(sprite.coverage >= 0.5))
    low, high = np.array([-x1, -y1]), np.array([size[1] - x2, size[0] - y2])
    corner = rng.integers(low, high + 1)
    if manner == _TRUNCATED:
        axis, far = rng.integers(2), rng.integers(2)
        beyond = round(rng.uniform(0.12, 0.45) * (y2 - y1 if axis else x2 - x1))
        corner[axis] = high[axis] + beyond if far else low[axis] - beyond
    if manner == _OVERLAPPING:
        _, other = placed[rng.integers(len(placed))]
        centre = np.array([other.x, other.y]) + len(other.coverage) / 2 - len(sprite.coverage) / 2
        angle = rng.uniform(0, 2 * np.pi)
        reach = rng.uniform(0.25, 0.45) * (len(other.coverage) + len(sprite.coverage)) / 2
        corner = np.clip(np.rint(centre + reach * np.array([np.cos(angle), np.sin(angle)])).astype(int), low, high)
    return sprite.at(int(corner[0]), int(corner[1]))


def _fits(placed: list[tuple[int, _Sprite]], size: Size, manner: int) -> bool:
    """Whether the last object's sides are in range, it hides what its manner asks for, and all remain recognisable."""
    masks = np.array([sprite.mask(size) for _, sprite in placed])
    if not masks[-1].any():
        return False
    x1, y1, x2, y2 = _extent(masks[-1])
    sides = (x2 - x1) / size[1], (y2 - y1) / size[0]
    if min(sides) < _SIDES[0] or max(sides) > _SIDES[1]:
        return False
    visible = _visible(masks, np.array([sprite.area for _, sprite in placed]))
    covers = bool((masks[:-1] & masks[-1]).any())
    return bool(visible.min() >= _LEAST_VISIBLE) and covers == (manner == _OVERLAPPING)


def _visible(masks: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """(G,): pixels of each mask (G, h, w) that no later mask covers, over the object's whole area."""
    shown = [int((mask & ~masks[i + 1 :].any(axis=0)).sum()) for i, mask in enumerate(masks)]
    return np.asarray(shown / areas, np.float64)


def _extent(mask: np.ndarray) -> tuple[float, float, float, float]:
    """x1 y1 x2 y2 of a mask (h, w) that is not empty."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _contrasting(rng: np.random.Generator, others: np.ndarray) -> np.ndarray:
    """A colour (3,) that stands out from the others (n, 3); the best of a few where none does by far."""
    candidates = colours(rng, 10)
    nearest = np.sqrt(((candidates[:, None] - others) ** 2).sum(axis=2)).min(axis=1)
    return np.asarray(candidates[int(np.argmax(np.minimum(nearest, 75)))])


def _draw(rng: np.random.Generator, label: int, size: Size) -> _Sprite:
    """An object of random size, turn and proportion."""
    name = CLASSES[label - 1]
    turn, aspect = rng.uniform(0, 2 * np.pi), rng.uniform(0.85, 1.18)
    cos, sin = np.cos(turn), np.sin(turn)
    frame = np.array([[cos, -sin], [sin, cos]]) @ np.diag([aspect, 1 / aspect])
    contours = [contour @ frame.T for contour in _outline(name)]
    reach = np.ptp(contours[0], axis=0) / (size[1], size[0])
    fraction = np.exp(rng.uniform(np.log(0.13), np.log(0.585)))
    scale = fraction / reach.max()
    side = 2 * int(np.ceil(scale * np.abs(contours[0]).max() + 2))
    fine = np.zeros((side * _FINE, side * _FINE), np.uint8)
    points = [np.rint((contour * scale + side / 2) * _FINE).astype(np.int32) for contour in contours]
    cv2.fillPoly(fine, points, 255)
    coverage = cv2.resize(fine, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    y, x = (np.mgrid[:side, :side] + 0.5 - side / 2) / scale
    u, v = np.tensordot(np.linalg.inv(frame), np.stack([x, y]), axes=1)
    return _Sprite(coverage, _shade(rng, name, u, v, scale))


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
        case "star":
            return [_regular(10) * np.tile([[1.0], [0.42]], (5, 1))]
        case "cross":
            corner = np.array([[1, -0.32], [1, 0.32], [0.32, 0.32]])
            quarter = np.array([[0.0, 1.0], [-1.0, 0.0]])
            return [np.concatenate([corner @ np.linalg.matrix_power(quarter, turn) for turn in range(4)])]
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
