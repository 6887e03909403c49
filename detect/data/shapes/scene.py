"""One picture of the built-in data set: shapes on a cluttered background, drawn from a key.

What tells the classes apart is outline and texture. Every fill is one colour from one distribution, shaded evenly to
both sides of it, so a class has no mean colour of its own; the background's clutter is painted from the same colours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detect.data.shapes.background import background, colours
from detect.data.shapes.sprite import CLASSES, Sprite, draw
from detect.system import randomness
from detect.types import Size

_SIDES = (0.10, 0.60)  # of the image's side, for both sides of every box
_LEAST_VISIBLE = 0.62
_WHOLE, _TRUNCATED, _OVERLAPPING = 0, 1, 2
_MANNERS = (0.68, 0.80)  # up to where in 0..1 each manner is drawn: a fifth of the objects end cut or covered in part
_TRIES = 12


@dataclass(frozen=True)
class Scene:
    """One picture and its objects, later ones in front of earlier ones.

    rgb (h, w, 3) uint8; boxes (G, 4) float64, tight around the whole object clipped to the picture, covered parts
    included; labels (G,) int64 in 1..6; masks (G, h, w) bool, what each box is tight around; visible (G,) float64: the
    share of the object's area that is inside the picture and not covered, at least 0.62.
    """

    rgb: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    visible: np.ndarray


@dataclass(frozen=True)
class _Placed:
    """An object in its picture; mask (h, w) bool is the sprite's, whatever lies in front."""

    label: int
    sprite: Sprite
    mask: np.ndarray


def scene(seed: int, split: str, index: int) -> Scene:
    """The picture number ``index`` of a split; it depends on its three arguments and on no other picture."""
    rng = randomness.generator("shapes", seed, split, index)
    height = int(rng.integers(112, 147))
    size = (height, round(128 * 128 / height))
    canvas = background(rng, size).astype(np.float32)
    placed = [] if rng.random() < 0.1 else _place(rng, size, int(rng.integers(1, 5)))
    used: list[np.ndarray] = []
    for sprite in (one.sprite for one in placed):
        part, inside = canvas[sprite.on_picture()], sprite.inside(size)
        coverage = sprite.coverage[inside]
        used.append(_contrasting(rng, np.stack([part[coverage >= 0.5].mean(axis=0), *used])))
        part += coverage[..., None] * (used[-1] + 40 * sprite.shade[inside][..., None] - part)
    canvas += np.float32(rng.uniform(1, 5)) * rng.standard_normal((*size, 1), dtype=np.float32)
    return Scene(
        rgb=np.clip(canvas, 0, 255, out=canvas).astype(np.uint8),
        boxes=np.array([_extent(one.mask) for one in placed], np.float64).reshape(-1, 4),
        labels=np.array([one.label for one in placed], np.int64),
        masks=np.array([one.mask for one in placed], bool).reshape(-1, *size),
        visible=_visible(placed),
    )


def _place(rng: np.random.Generator, size: Size, count: int) -> list[_Placed]:
    """Up to ``count`` objects, each at least _LEAST_VISIBLE in sight; one that finds no room is left out."""
    placed: list[_Placed] = []
    for _ in range(count):
        label = int(rng.integers(len(CLASSES))) + 1
        manner = int(np.searchsorted(_MANNERS, rng.random(), side="right"))
        if manner == _OVERLAPPING and not placed:
            manner = _WHOLE
        for _ in range(_TRIES):
            sprite = _moved(rng, draw(rng, label, size), size, manner, placed)
            one = _Placed(label, sprite, sprite.mask(size))
            if _fits(one, placed, size, manner):
                placed.append(one)
                break
    return placed


def _moved(rng: np.random.Generator, sprite: Sprite, size: Size, manner: int, placed: list[_Placed]) -> Sprite:
    """The sprite at a random place of the kind that ``manner`` names; _fits says whether it will do."""
    x1, y1, x2, y2 = (int(edge) for edge in _extent(sprite.coverage >= 0.5))
    low, high = np.array([-x1, -y1]), np.array([size[1] - x2, size[0] - y2])
    corner = rng.integers(low, high + 1)
    if manner == _TRUNCATED:
        axis, far = rng.integers(2), rng.integers(2)
        beyond = round(rng.uniform(0.12, 0.45) * (y2 - y1 if axis else x2 - x1))
        corner[axis] = high[axis] + beyond if far else low[axis] - beyond
    if manner == _OVERLAPPING:
        other = placed[rng.integers(len(placed))].sprite
        centre = np.array([other.x, other.y]) + len(other.coverage) / 2 - len(sprite.coverage) / 2
        angle = rng.uniform(0, 2 * np.pi)
        reach = rng.uniform(0.25, 0.45) * (len(other.coverage) + len(sprite.coverage)) / 2
        corner = np.clip(np.rint(centre + reach * np.array([np.cos(angle), np.sin(angle)])).astype(int), low, high)
    return sprite.at(int(corner[0]), int(corner[1]))


def _fits(one: _Placed, placed: list[_Placed], size: Size, manner: int) -> bool:
    """Whether the sides are in range, it covers another where it should, and all remain recognisable."""
    if not one.mask.any():
        return False
    x1, y1, x2, y2 = _extent(one.mask)
    sides = (x2 - x1) / size[1], (y2 - y1) / size[0]
    if min(sides) < _SIDES[0] or max(sides) > _SIDES[1]:
        return False
    if any((one.mask & other.mask).any() for other in placed) != (manner == _OVERLAPPING):
        return False
    return bool(_visible([*placed, one]).min() >= _LEAST_VISIBLE)


def _visible(placed: list[_Placed]) -> np.ndarray:
    """(G,): the share of each object's area that is in the picture and under no later object."""
    shares = np.zeros(len(placed))
    covered = np.zeros(placed[0].mask.shape if placed else 0, bool)
    for i in reversed(range(len(placed))):
        shares[i] = np.count_nonzero(placed[i].mask & ~covered) / placed[i].sprite.area
        covered |= placed[i].mask
    return shares


def _extent(mask: np.ndarray) -> tuple[float, float, float, float]:
    """x1 y1 x2 y2 of a mask (h, w) that is not empty."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _contrasting(rng: np.random.Generator, others: np.ndarray) -> np.ndarray:
    """A colour (3,) that stands out from the others (n, 3); the best of a few where none does by far."""
    candidates = colours(rng, 10)
    nearest = np.sqrt(((candidates[:, None] - others) ** 2).sum(axis=2)).min(axis=1)
    return np.asarray(candidates[int(np.argmax(np.minimum(nearest, 75)))])
