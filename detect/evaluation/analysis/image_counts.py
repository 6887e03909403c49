"""True positives, false positives and missed objects of each image, with a score threshold for each class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detect.evaluation.analysis.matches import Matches, images_of, labels_of
from detect.evaluation.analysis.precision_recall import best_threshold, curves
from detect.evaluation.assignment import FALSE_POSITIVE, TRUE_POSITIVE
from detect.evaluation.columns import FloatArray


@dataclass(frozen=True)
class ImageCounts:
    """The numbers of true positives, false positives and missed objects of each image of the data: (N,) int64."""

    true_positives: NDArray[np.int64]
    false_positives: NDArray[np.int64]
    false_negatives: NDArray[np.int64]

    @property
    def errors(self) -> NDArray[np.int64]:
        """The number of false positives and missed objects of each image (N,)."""
        return self.false_positives + self.false_negatives


def best_thresholds(matches: Matches) -> dict[str, float]:
    """Return the score of each class at which its F1 is highest; infinite where no object is found at any score."""
    best = {name: best_threshold(curve) for name, curve in curves(matches).items()}
    return {name: float("inf") if threshold is None else threshold.score for name, threshold in best.items()}


def count_per_image(matches: Matches, thresholds: Mapping[str, float]) -> ImageCounts:
    """Count the detections with at least the threshold of their class, at the first of the rules' IoUs.

    Ignored detections, difficult boxes and crowds do not count.
    """
    columns, num_images = matches.columns, len(matches.images)
    groups, gt_groups = columns.detections.groups, columns.ground_truth.groups
    min_scores: FloatArray = np.array([thresholds[name] for name in matches.classes], np.float64)
    above = columns.detections.scores >= min_scores[labels_of(columns, groups) - 1]
    det_images = matches.images[images_of(columns, groups)]
    gt_images = matches.images[images_of(columns, gt_groups)]
    outcome = matches.outcome[:, 0]
    true = np.bincount(det_images[above & (outcome == TRUE_POSITIVE)], minlength=num_images)
    false = np.bincount(det_images[above & (outcome == FALSE_POSITIVE)], minlength=num_images)
    objects = np.bincount(gt_images[~columns.ground_truth.ignore], minlength=num_images)
    return ImageCounts(true, false, objects - true)
