"""What a detector cut off at a score finds in each image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detect.evaluation.analysis.matches import Matches, images_of, labels_of
from detect.evaluation.analysis.precision_recall import best_threshold, curves
from detect.evaluation.assignment import FALSE, TRUE
from detect.evaluation.columns import Floats


@dataclass(frozen=True)
class Tallies:
    """Of each image of the data (N,) int64: objects found, false detections, and objects missed."""

    found: NDArray[np.int64]
    false: NDArray[np.int64]
    missed: NDArray[np.int64]

    @property
    def wrong(self) -> NDArray[np.int64]:
        """False detections and missed objects together."""
        return self.false + self.missed


def best_thresholds(matches: Matches) -> dict[str, float]:
    """The score of each class at which its F1 is highest; infinite where nothing is found at any."""
    best = {name: best_threshold(curve) for name, curve in curves(matches).items()}
    return {name: float("inf") if at is None else at.score for name, at in best.items()}


def tally(matches: Matches, thresholds: Mapping[str, float]) -> Tallies:
    """Count the detections of at least their class's threshold, at the first of the rules' IoUs.

    Neutral ones, difficult boxes and crowds do not count.
    """
    case, images = matches.case, len(matches.images)
    least: Floats = np.array([thresholds[name] for name in matches.classes], np.float64)
    kept = case.found.scores >= least[labels_of(case, case.found.groups) - 1]
    of_found = matches.images[images_of(case, case.found.groups)]
    of_truth = matches.images[images_of(case, case.truth.groups)]
    outcome = matches.outcome[:, 0]
    found = np.bincount(of_found[kept & (outcome == TRUE)], minlength=images)
    false = np.bincount(of_found[kept & (outcome == FALSE)], minlength=images)
    return Tallies(found, false, np.bincount(of_truth[~case.truth.lenient], minlength=images) - found)
