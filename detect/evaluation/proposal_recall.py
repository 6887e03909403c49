"""How well proposals cover the objects: recall, average recall (AR), average best overlap (ABO) and its mean (MABO).

An object's best overlap is the highest intersection over union that any proposal of its image has with it, 0 where
there is none. Recall at an overlap is the share of objects whose best overlap reaches it; AR at N is the mean recall
over the overlaps 0.5, 0.55 .. 0.95 of the first N proposals (Hosang et al. 2015); ABO is the mean best overlap of a
class and MABO the mean of those (Uijlings et al. 2013). Two objects may be covered by the same proposal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

OVERLAPS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
LIMITS = (100, 300, 1000, 2000)


@dataclass(frozen=True)
class Coverage:
    """The proposals (P, 4) of one image, best first, and its objects: boxes (G, 4) and labels (G,) in 1..K."""

    proposals: NDArray[np.floating]
    objects: NDArray[np.floating]
    labels: NDArray[np.integer]


@dataclass(frozen=True)
class BestOverlaps:
    """The best overlap of each of T objects in N images.

    limited (L, T): with the first ``limits[l]`` proposals; every (T,): with all; labels (T,) in 1..K; counts (N,): the
    proposals of each image.
    """

    limits: tuple[int, ...]
    limited: NDArray[np.float64]
    every: NDArray[np.float64]
    labels: NDArray[np.int64]
    counts: NDArray[np.int64]

    def within(self, limit: int) -> NDArray[np.float64]:
        """With the first ``limit`` proposals, (T,)."""
        row: NDArray[np.float64] = self.limited[self.limits.index(limit)]
        return row


@dataclass(frozen=True)
class ProposalScores:
    """Fractions in 0..1, None where there is no object to measure.

    recall: by overlap, all proposals taken; average_recall: by number of proposals; abo: by class name; images: how
    many, and how many of them without proposals.
    """

    recall: dict[float, float | None]
    average_recall: dict[int, float | None]
    abo: dict[str, float | None]
    mabo: float | None
    images: int
    images_without_proposals: int
    objects: int
    proposals_per_image: float


def score_proposals(
    images: Iterable[Coverage], classes: Sequence[str], limits: Sequence[int] = LIMITS
) -> ProposalScores:
    """Score every image, those without proposals too; ``classes`` are the names of the labels 1..K."""
    return scores_of(measure(images, limits), classes, limits)


def measure(images: Iterable[Coverage], limits: Sequence[int] = LIMITS) -> BestOverlaps:
    """The best overlap of every object; images are looked at one by one and not kept."""
    rows, labels, counts = [], [], []
    for image in images:
        rows.append(best_overlaps(image.proposals, image.objects, [*limits, len(image.proposals)]))
        labels.append(np.asarray(image.labels, np.int64))
        counts.append(len(image.proposals))
    table = np.concatenate([np.zeros((len(limits) + 1, 0)), *rows], axis=1)
    return BestOverlaps(
        limits=tuple(limits),
        limited=table[:-1],
        every=table[-1],
        labels=np.concatenate([np.zeros(0, np.int64), *labels]),
        counts=np.array(counts, np.int64),
    )


def scores_of(best: BestOverlaps, classes: Sequence[str], limits: Sequence[int] = LIMITS) -> ProposalScores:
    """The scores of what was measured; ``limits`` are some of those it was measured at."""
    return ProposalScores(
        recall={overlap: _mean(best.every >= overlap) for overlap in OVERLAPS},
        average_recall={limit: _mean(np.greater_equal.outer(best.within(limit), OVERLAPS)) for limit in limits},
        abo={name: _mean(best.every[best.labels == label]) for label, name in enumerate(classes, start=1)},
        mabo=mabo(best.every, best.labels),
        images=len(best.counts),
        images_without_proposals=int((best.counts == 0).sum()),
        objects=len(best.every),
        proposals_per_image=float(best.counts.mean()) if len(best.counts) else 0.0,
    )


def mabo(overlaps: NDArray[np.float64], labels: NDArray[np.int64]) -> float | None:
    """The mean over the classes that occur of the mean best overlap (T,) of their objects."""
    return _mean(np.array([overlaps[labels == label].mean() for label in np.unique(labels)]))


def best_overlaps(
    proposals: NDArray[np.floating], objects: NDArray[np.floating], limits: Sequence[int]
) -> NDArray[np.float64]:
    """The best overlap of each object with the first ``limit`` proposals, (len(limits), G), 0 where there are none."""
    overlaps = _iou(np.asarray(objects, np.float64), np.asarray(proposals, np.float64))
    # In front a column for no proposals at all; then place n is the best of the first n.
    best = np.maximum.accumulate(np.concatenate([np.zeros((len(objects), 1)), overlaps], axis=1), axis=1)
    return np.asarray(best[:, np.minimum(limits, len(proposals))].T)


def _iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of boxes (A, 4) and (B, 4) in continuous pixels, (A, B); 0 where both are empty."""
    a, b = a.reshape(-1, 1, 4), b.reshape(1, -1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared: NDArray[np.float64] = np.prod(sides.clip(0), axis=-1)
    union = np.prod(a[..., 2:] - a[..., :2], axis=-1) + np.prod(b[..., 2:] - b[..., :2], axis=-1) - shared
    iou: NDArray[np.float64] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return iou


def _mean(values: NDArray[np.floating] | NDArray[np.bool_]) -> float | None:
    return float(values.mean()) if values.size else None
