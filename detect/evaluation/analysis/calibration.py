"""Whether a score of 0.8 means that eight of ten are right.

Reliability bins and expected calibration error (Guo, Pleiss, Sun and Weinberger 2017, section 2), of detections: a
detection is right where the scorer calls it true (Küppers et al. 2020, the confidence-only case).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detect.evaluation.analysis.matches import Matches, labels_of
from detect.evaluation.assignment import NEUTRAL, TRUE
from detect.evaluation.columns import Floats


@dataclass(frozen=True)
class Calibration:
    """B bins of equal width; edges (B + 1,) from 0 to 1; counts (B,); scores and precision (B,): the mean score of a
    bin's detections and the share of them that is true, NaN in an empty bin. A bin holds its upper edge.

    error: the expected calibration error in 0..1, the mean of |score - precision| over all detections; None where there
    are none.
    """

    edges: Floats
    counts: NDArray[np.int64]
    scores: Floats
    precision: Floats
    error: float | None

    def to_json(self) -> dict[str, Any]:
        """The fields, arrays as lists; null in an empty bin."""
        return {
            "edges": self.edges.tolist(),
            "counts": self.counts.tolist(),
            "scores": [None if np.isnan(score) else score for score in self.scores.tolist()],
            "precision": [None if np.isnan(share) else share for share in self.precision.tolist()],
            "error": self.error,
        }


def calibration(matches: Matches, label: int | None = None, bins: int = 15) -> Calibration:
    """Of the detections of a class 1..K, or of all, at the first of the rules' IoUs; neutral ones are left out."""
    counted = matches.outcome[:, 0] != NEUTRAL
    if label is not None:
        counted &= labels_of(matches.case, matches.case.found.groups) == label
    scores, true = matches.case.found.scores[counted], matches.outcome[counted, 0] == TRUE
    edges = np.arange(bins + 1) / bins
    place = np.clip(np.searchsorted(edges, scores, side="left") - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    score, precision = (
        np.divide(np.bincount(place, values, bins), counts, out=np.full(bins, np.nan), where=counts > 0)
        for values in (scores, true)
    )
    gaps = np.abs(score - precision)[counts > 0]
    error = float((gaps * counts[counts > 0]).sum() / counts.sum()) if counts.any() else None
    return Calibration(edges, counts, score, precision, error)
