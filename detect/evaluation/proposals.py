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
class ProposalScores:
    """Fractions in 0..1, None where there is no object to measure.

    recall: by overlap, all proposals taken; average_recall: by number of proposals; abo: by class name.
    """

    recall: dict[float, float | None]
    average_recall: dict[int, float | None]
    abo: dict[str, float | None]
    mabo: float | None
    images: int
    objects: int
    proposals_per_image: float


def score_proposals(
    images: Iterable[Coverage], classes: Sequence[str], limits: Sequence[int] = LIMITS
) -> ProposalScores:
    """Score every image, those without proposals too; ``classes`` are the names of the labels 1..K."""
    best, limited, labels, counts = [], [], [], []
    for image in images:
        overlaps = best_overlaps(image.proposals, image.objects, [*limits, len(image.proposals)])
        best.append(overlaps[-1])
        limited.append(overlaps[:-1])
        labels.append(np.asarray(image.labels, np.int64))
        counts.append(len(image.proposals))
    every = np.concatenate([np.zeros(0), *best])
    by_limit = np.concatenate([np.zeros((len(limits), 0)), *limited], axis=1)
    label = np.concatenate([np.zeros(0, np.int64), *labels])
    abo = {name: _mean(every[label == index]) for index, name in enumerate(classes, start=1)}
    return ProposalScores(
        recall={overlap: _mean(every >= overlap) for overlap in OVERLAPS},
        average_recall={
            limit: _mean(np.greater_equal.outer(row, OVERLAPS)) for limit, row in zip(limits, by_limit, strict=True)
        },
        abo=abo,
        mabo=_mean(np.array([value for value in abo.values() if value is not None])),
        images=len(counts),
        objects=len(every),
        proposals_per_image=float(np.mean(counts)) if counts else 0.0,
    )


def best_overlaps(
    proposals: NDArray[np.floating], objects: NDArray[np.floating], limits: Sequence[int]
) -> NDArray[np.float64]:
    """The best overlap of each object with the first ``limit`` proposals, (len(limits), G), 0 where there are none."""
    found = np.zeros((len(limits), len(objects)))
    overlaps = _iou(np.asarray(objects, np.float64), np.asarray(proposals, np.float64))
    for row, limit in zip(found, limits, strict=True):
        row[:] = overlaps[:, :limit].max(axis=1, initial=0)
    return found


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
