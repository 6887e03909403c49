"""Anchors that suit a data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from detect.data.inspect.anchor_recall import Scaled, best_overlaps
from detect.ops.anchors import AnchorShapes
from detect.system.randomness import generator

_ROUNDS = 100
_ENOUGH = 3000  # objects: a search over more takes longer and ends within 1% of the same anchors
_STEPS = (1.25, 1.1, 1.03)  # how far a side or a ratio is moved at a time

Anchors = tuple[tuple[float, ...], tuple[float, ...]]  # sides, ratios


def advised_anchors(
    objects: Scaled, start: AnchorShapes, spacing: int, outside: float | None, number: int
) -> AnchorShapes:
    """Sides (whole pixels) and ratios for a single map: ``number`` of each, or fewer where clusters coincide.

    A search from clusters of the objects, and from ``start`` where it has that many, for the anchors that reach most;
    so what is found reaches no less than ``start``. (k-means of whole boxes by IoU, as YOLOv2 has it, gives pairs that
    no product of sides and ratios has.) Every class counts the same, as in mAP.
    """
    chosen = generator("advised anchors").permutation(len(objects.boxes))[:_ENOUGH]
    some = Scaled(objects.boxes[chosen], objects.sides[chosen], objects.labels[chosen])
    weights = 1 / np.bincount(some.labels)[some.labels]

    def worth(anchors: Anchors) -> float:
        shapes = replace(start, sides=(anchors[0],), ratios=anchors[1])
        overlaps = best_overlaps(some, shapes, [spacing], outside)
        return float(((overlaps + (overlaps >= 0.5) + (overlaps >= 0.7)) * weights).sum())

    starts = [_clustered(some, number)]
    if len(start.sides) == 1 and len(start.sides[0]) == len(start.ratios) == number:
        starts.append((start.sides[0], start.ratios))
    best = max(starts, key=worth)
    reached = worth(best)
    for step in _STEPS:
        improved = True
        while improved:
            improved = False
            for moved in _neighbours(best, step):
                if (value := worth(moved)) > reached * (1 + 1e-3):
                    best, reached, improved = moved, value, True
    return replace(start, sides=(best[0],), ratios=best[1])


def _neighbours(anchors: Anchors, step: float) -> Iterator[Anchors]:
    """One side or one ratio larger or smaller by ``step``."""
    sides, ratios = anchors
    for factor in (step, 1 / step):
        for place in range(len(sides)):
            yield tuple(sorted({*_replaced(sides, place, max(1.0, round(sides[place] * factor)))})), ratios
        for place in range(len(ratios)):
            yield sides, tuple(sorted({*_replaced(ratios, place, max(0.01, round(ratios[place] * factor, 2)))}))


def _replaced(values: Sequence[float], place: int, value: float) -> list[float]:
    return [value if at == place else other for at, other in enumerate(values)]


def _clustered(objects: Scaled, number: int) -> Anchors:
    """Clusters of sides and of ratios, by logarithm: twice too large overlaps as little as twice too small."""
    width, height = (objects.boxes[:, 2:] - objects.boxes[:, :2]).T
    side = np.exp(_clusters(np.log(width * height) / 2, number))
    ratio = np.exp(_clusters(np.log(height / width), number))
    return (
        tuple(sorted({max(1.0, float(np.rint(one))) for one in side})),
        tuple(sorted({max(0.01, round(float(one), 2)) for one in ratio})),
    )


def _clusters(values: np.ndarray, count: int) -> np.ndarray:
    """The means of at most ``count`` clusters of numbers (T,): Lloyd's rounds from evenly spaced quantiles."""
    means = np.unique(np.quantile(values, (np.arange(count) + 0.5) / count))
    for _ in range(_ROUNDS):
        nearest = np.abs(values[:, None] - means).argmin(1)
        moved = np.asarray([values[nearest == place].mean() for place in range(len(means)) if (nearest == place).any()])
        if len(moved) == len(means) and np.allclose(moved, means):
            break
        means = moved
    return np.asarray(means)
