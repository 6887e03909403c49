"""One image of the built-in data set: shapes on a cluttered background, drawn from a key.

Classes differ by outline and texture. Every object has one color, drawn from one distribution for all classes, and is
shaded evenly to both sides of it, so no class has a mean color of its own. The clutter of the background is drawn in
colors of the same distribution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detect.data.shapes.background import draw_background, random_colors
from detect.data.shapes.sprite import CLASSES, Sprite, draw_sprite
from detect.system import randomness
from detect.types import Size

_SIDE_RANGE = (0.10, 0.60)  # of the image's sides, for both sides of every box
_MIN_VISIBILITY, _MIN_VISIBILITY_OCCLUDED = 0.62, 0.35  # the second where a fraction of objects is to cover others
_WHOLE, _TRUNCATED, _OVERLAPPING = 0, 1, 2
_PLACEMENTS = (0.68, 0.80)  # thresholds in 0..1 between the three; a fifth of the objects ends truncated or covered
_MAX_ATTEMPTS = 12
_MIN_HIDDEN = 0.1  # of an object's area: from here on its label says occluded, or truncated


@dataclass(frozen=True)
class Scene:
    """One image and its objects; later objects are in front of earlier ones.

    rgb (h, w, 3) uint8; boxes (G, 4) float64, tight around the complete object clipped to the image, including covered
    parts; labels (G,) int64 in 1..6; masks (G, h, w) bool, the pixels around which each box is tight; visibility (G,)
    float64: the fraction of the object's area that is inside the image and not covered, at least 0.62 (0.35 with more
    occlusion); occluded and truncated (G,) bool: a tenth or more of its area in the image is covered, or of its area is
    outside; colors (G, 3) float32: the RGB of each object, which its texture and the noise vary.
    """

    rgb: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    visibility: np.ndarray
    occluded: np.ndarray
    truncated: np.ndarray
    colors: np.ndarray


@dataclass(frozen=True)
class _PlacedObject:
    """An object in its image; mask (h, w) bool is that of the sprite, whatever lies in front of it."""

    label: int
    sprite: Sprite
    mask: np.ndarray


def draw_scene(seed: int, split: str, index: int, occlusion: float | None = None) -> Scene:
    """Draw image ``index`` of a split; it depends on the arguments only, not on other images.

    occlusion: the probability that an object is placed in front of another, where there is one; None for a fifth.
    """
    rng = randomness.numpy_generator("shapes", seed, split, index)
    height = int(rng.integers(112, 147))
    size = (height, round(128 * 128 / height))
    canvas = draw_background(rng, size).astype(np.float32)
    objects = [] if rng.random() < 0.1 else _place_objects(rng, size, int(rng.integers(1, 5)), occlusion)
    used_colors: list[np.ndarray] = []
    for sprite in (placed.sprite for placed in objects):
        pixels, rows_and_columns = canvas[sprite.image_slices()], sprite.sprite_slices(size)
        alpha = sprite.alpha[rows_and_columns]
        used_colors.append(_contrasting_color(rng, np.stack([pixels[alpha >= 0.5].mean(axis=0), *used_colors])))
        pixels += alpha[..., None] * (used_colors[-1] + 40 * sprite.shade[rows_and_columns][..., None] - pixels)
    canvas += np.float32(rng.uniform(1, 5)) * rng.standard_normal((*size, 1), dtype=np.float32)
    return Scene(
        rgb=np.clip(canvas, 0, 255, out=canvas).astype(np.uint8),
        boxes=np.array([_mask_box(placed.mask) for placed in objects], np.float64).reshape(-1, 4),
        labels=np.array([placed.label for placed in objects], np.int64),
        masks=np.array([placed.mask for placed in objects], bool).reshape(-1, *size),
        visibility=_visible_fractions(objects),
        occluded=_covered_fractions(objects) >= _MIN_HIDDEN,
        truncated=np.array([1 - placed.mask.sum() / placed.sprite.area for placed in objects]) >= _MIN_HIDDEN,
        colors=np.array(used_colors, np.float32).reshape(-1, 3),
    )


def _place_objects(rng: np.random.Generator, size: Size, count: int, occlusion: float | None) -> list[_PlacedObject]:
    """Place up to ``count`` objects, each visible to a minimum fraction; one that finds no room is skipped."""
    objects: list[_PlacedObject] = []
    placements, min_visibility = _PLACEMENTS, _MIN_VISIBILITY
    if occlusion is not None:
        rest = (1 - occlusion) / _PLACEMENTS[1]  # whole and truncated ones keep their ratio
        placements, min_visibility = (_PLACEMENTS[0] * rest, 1 - occlusion), _MIN_VISIBILITY_OCCLUDED
    for _ in range(count):
        label = int(rng.integers(len(CLASSES))) + 1
        placement = int(np.searchsorted(placements, rng.random(), side="right"))
        if placement == _OVERLAPPING and not objects:
            placement = _WHOLE
        for _ in range(_MAX_ATTEMPTS):
            sprite = _place_sprite(rng, draw_sprite(rng, label, size), size, placement, objects)
            candidate = _PlacedObject(label, sprite, sprite.mask(size))
            if _fits(candidate, objects, size, placement, min_visibility):
                objects.append(candidate)
                break
    return objects


def _place_sprite(
    rng: np.random.Generator, sprite: Sprite, size: Size, placement: int, objects: list[_PlacedObject]
) -> Sprite:
    """Return the sprite at a random position for this placement; ``_fits`` then checks it."""
    x1, y1, x2, y2 = (int(edge) for edge in _mask_box(sprite.alpha >= 0.5))
    low, high = np.array([-x1, -y1]), np.array([size[1] - x2, size[0] - y2])
    corner = rng.integers(low, high + 1)
    if placement == _TRUNCATED:
        axis, far = rng.integers(2), rng.integers(2)
        beyond = round(rng.uniform(0.12, 0.45) * (y2 - y1 if axis else x2 - x1))
        corner[axis] = high[axis] + beyond if far else low[axis] - beyond
    if placement == _OVERLAPPING:
        other = objects[rng.integers(len(objects))].sprite
        center = np.array([other.x, other.y]) + len(other.alpha) / 2 - len(sprite.alpha) / 2
        angle = rng.uniform(0, 2 * np.pi)
        distance = rng.uniform(0.25, 0.45) * (len(other.alpha) + len(sprite.alpha)) / 2
        corner = np.clip(np.rint(center + distance * np.array([np.cos(angle), np.sin(angle)])).astype(int), low, high)
    return sprite.moved_to(int(corner[0]), int(corner[1]))


def _fits(
    candidate: _PlacedObject, objects: list[_PlacedObject], size: Size, placement: int, min_visibility: float
) -> bool:
    """Return True if the sides are in range, it overlaps another only if it should, and all stay recognizable."""
    if not candidate.mask.any():
        return False
    x1, y1, x2, y2 = _mask_box(candidate.mask)
    sides = (x2 - x1) / size[1], (y2 - y1) / size[0]
    if min(sides) < _SIDE_RANGE[0] or max(sides) > _SIDE_RANGE[1]:
        return False
    if any((candidate.mask & other.mask).any() for other in objects) != (placement == _OVERLAPPING):
        return False
    return bool(_visible_fractions([*objects, candidate]).min() >= min_visibility)


def _visible_fractions(objects: list[_PlacedObject]) -> np.ndarray:
    """Return (G,): the fraction of each object's area that is in the image and under no later object."""
    fractions = np.zeros(len(objects))
    covered = np.zeros(objects[0].mask.shape if objects else 0, bool)
    for i in reversed(range(len(objects))):
        fractions[i] = np.count_nonzero(objects[i].mask & ~covered) / objects[i].sprite.area
        covered |= objects[i].mask
    return fractions


def _covered_fractions(objects: list[_PlacedObject]) -> np.ndarray:
    """Return (G,): the fraction of each object's area in the image that is under a later object."""
    in_image = np.array([placed.mask.sum() / placed.sprite.area for placed in objects])
    return np.asarray(1 - _visible_fractions(objects) / in_image)


def _mask_box(mask: np.ndarray) -> tuple[float, float, float, float]:
    """Return x1 y1 x2 y2 of a mask (h, w) that is not empty."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _contrasting_color(rng: np.random.Generator, colors: np.ndarray) -> np.ndarray:
    """Return a color (3,) that differs clearly from the colors (n, 3), or the best of ten candidates."""
    candidates = random_colors(rng, 10)
    nearest = np.sqrt(((candidates[:, None] - colors) ** 2).sum(axis=2)).min(axis=1)
    return np.asarray(candidates[int(np.argmax(np.minimum(nearest, 75)))])
