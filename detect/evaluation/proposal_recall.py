"""Quality of proposals: recall, average recall (AR), average best overlap (ABO) and its mean over classes (MABO).

The best IoU of an object is the highest intersection over union that any proposal of its image has with it, 0 where
there is none. Recall at an IoU threshold is the fraction of objects whose best IoU reaches it; AR at N is the mean
recall of the first N proposals over the thresholds 0.5, 0.55 .. 0.95 (Hosang et al. 2015); ABO is the mean best IoU of
the objects of a class and MABO the mean of the ABOs (Uijlings et al. 2013). Objects may share their best proposal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detect.evaluation.overlap import iou

IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
AR_LIMITS = (100, 300, 1000, 2000)


@dataclass(frozen=True)
class ProposalsAndObjects:
    """The proposals (P, 4) of one image, best first, and its objects: boxes (G, 4) and labels (G,) in 1..K."""

    proposals: NDArray[np.floating]
    objects: NDArray[np.floating]
    labels: NDArray[np.integer]


@dataclass(frozen=True)
class BestIoUs:
    """The best IoU of each of T objects in N images.

    first_n (L, T): with the first ``limits[l]`` proposals; all_proposals (T,): with all of them; labels (T,) in 1..K;
    counts (N,): the number of proposals of each image.
    """

    limits: tuple[int, ...]
    first_n: NDArray[np.float64]
    all_proposals: NDArray[np.float64]
    labels: NDArray[np.int64]
    counts: NDArray[np.int64]

    def with_first(self, limit: int) -> NDArray[np.float64]:
        """Return the best IoU (T,) with the first ``limit`` proposals; ``limit`` is one of ``limits``."""
        ious: NDArray[np.float64] = self.first_n[self.limits.index(limit)]
        return ious


@dataclass(frozen=True)
class ProposalScores:
    """The scores of proposals: fractions in 0..1, None where there is no object.

    recall: of all proposals, by IoU threshold; average_recall: by number of proposals; abo: by class name; images,
    images_without_proposals, objects: how many there are.
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
    images: Iterable[ProposalsAndObjects], classes: Sequence[str], limits: Sequence[int] = AR_LIMITS
) -> ProposalScores:
    """Score the proposals of all images, also of images without proposals; ``classes``: names of the labels 1..K."""
    return scores_from_ious(best_ious(images, limits), classes, limits)


def best_ious(images: Iterable[ProposalsAndObjects], limits: Sequence[int] = AR_LIMITS) -> BestIoUs:
    """Return the best IoU of every object; the images are read one by one and not stored."""
    rows, labels, counts = [], [], []
    for image in images:
        rows.append(image_best_ious(image.proposals, image.objects, [*limits, len(image.proposals)]))
        labels.append(np.asarray(image.labels, np.int64))
        counts.append(len(image.proposals))
    table = np.concatenate([np.zeros((len(limits) + 1, 0)), *rows], axis=1)
    return BestIoUs(
        limits=tuple(limits),
        first_n=table[:-1],
        all_proposals=table[-1],
        labels=np.concatenate([np.zeros(0, np.int64), *labels]),
        counts=np.array(counts, np.int64),
    )


def scores_from_ious(best: BestIoUs, classes: Sequence[str], limits: Sequence[int] = AR_LIMITS) -> ProposalScores:
    """Return the scores for the best IoUs; ``limits`` are some of the limits of ``best``."""
    return ProposalScores(
        recall={iou: _mean(best.all_proposals >= iou) for iou in IOU_THRESHOLDS},
        average_recall={
            limit: _mean(np.greater_equal.outer(best.with_first(limit), IOU_THRESHOLDS)) for limit in limits
        },
        abo={name: _mean(best.all_proposals[best.labels == label]) for label, name in enumerate(classes, start=1)},
        mabo=mabo(best.all_proposals, best.labels),
        images=len(best.counts),
        images_without_proposals=int((best.counts == 0).sum()),
        objects=len(best.all_proposals),
        proposals_per_image=float(best.counts.mean()) if len(best.counts) else 0.0,
    )


def mabo(ious: NDArray[np.float64], labels: NDArray[np.int64]) -> float | None:
    """Return the mean over the classes that occur of the mean best IoU; ious, labels (T,), one for each object."""
    return _mean(np.array([ious[labels == label].mean() for label in np.unique(labels)]))


def image_best_ious(
    proposals: NDArray[np.floating], objects: NDArray[np.floating], limits: Sequence[int]
) -> NDArray[np.float64]:
    """Return the best IoU of each object with the first ``limit`` proposals, (len(limits), G), 0 where there are none.

    proposals (P, 4), best first; objects (G, 4).
    """
    ious = iou(np.asarray(objects, np.float64), np.asarray(proposals, np.float64))
    # The column in front stands for no proposals, so that column n is the best IoU with the first n.
    best = np.maximum.accumulate(np.concatenate([np.zeros((len(objects), 1)), ious], axis=1), axis=1)
    return np.asarray(best[:, np.minimum(limits, len(proposals))].T)


def _mean(values: NDArray[np.floating] | NDArray[np.bool_]) -> float | None:
    return float(values.mean()) if values.size else None
