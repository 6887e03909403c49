"""Calibration: of the detections with a score of 0.8, are eight in ten true positives?

Reliability bins and expected calibration error (Guo, Pleiss, Sun and Weinberger 2017, section 2), of detections: a
detection is right where it is a true positive (Küppers et al. 2020, the confidence-only case).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detect.evaluation.analysis.matches import Matches, labels_of
from detect.evaluation.assignment import IGNORED, TRUE_POSITIVE
from detect.evaluation.columns import FloatArray


@dataclass(frozen=True)
class Calibration:
    """Reliability bins and their error: B bins of equal width, each of which contains its upper edge.

    edges (B + 1,) from 0 to 1; counts (B,); scores and precision (B,): the mean score of a bin's detections and the
    fraction of them that are true positives, NaN in an empty bin; error: the expected calibration error in 0..1, the
    mean of |score - precision| over all detections, None where there are none.
    """

    edges: FloatArray
    counts: NDArray[np.int64]
    scores: FloatArray
    precision: FloatArray
    error: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields with arrays as lists; None in an empty bin."""
        return {
            "edges": self.edges.tolist(),
            "counts": self.counts.tolist(),
            "scores": [None if np.isnan(score) else score for score in self.scores.tolist()],
            "precision": [None if np.isnan(fraction) else fraction for fraction in self.precision.tolist()],
            "error": self.error,
        }


def calibration(matches: Matches, label: int | None = None, bins: int = 15) -> Calibration:
    """Return the calibration of the detections of a class 1..K, or of all, at the first of the rules' IoUs.

    Ignored detections are left out.
    """
    detections = matches.columns.detections
    counted = matches.outcome[:, 0] != IGNORED
    if label is not None:
        counted &= labels_of(matches.columns, detections.groups) == label
    scores, true = detections.scores[counted], matches.outcome[counted, 0] == TRUE_POSITIVE
    edges = np.arange(bins + 1) / bins
    bin_index = np.clip(np.searchsorted(edges, scores, side="left") - 1, 0, bins - 1)
    counts = np.bincount(bin_index, minlength=bins)
    score, precision = (
        np.divide(np.bincount(bin_index, weights, bins), counts, out=np.full(bins, np.nan), where=counts > 0)
        for weights in (scores, true)
    )
    gaps = np.abs(score - precision)[counts > 0]
    error = float((gaps * counts[counts > 0]).sum() / counts.sum()) if counts.any() else None
    return Calibration(edges, counts, score, precision, error)
