"""Means over detections with 95% intervals by the bootstrap over photos.

The detections of a photo share its pixels and its objects, so that they are not independent: a photo is drawn with all
its detections (Field and Welsh 2007, the cluster bootstrap).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detect.evaluation.analysis.bootstrap import MIN_IMAGES, Interval, percentile_interval, sample_weights

REPLICATES = 1000

Values = tuple[float | None, ...]  # of one photo: one for each detection, None where nothing was measured


def num_measured(photos: Sequence[Values]) -> int:
    """Return the number of photos that have a value."""
    return sum(any(value is not None for value in values) for values in photos)


def mean_of_photos(photos: Sequence[Values]) -> Interval | float | None:
    """Return the mean over the values of all photos, with its interval where MIN_IMAGES photos or more have a value.

    None where there is no value. A sample that has no value is left out.
    """
    sums = np.array([sum(score for score in values if score is not None) for values in photos], np.float64)
    counts = np.array([sum(score is not None for score in values) for values in photos], np.int64)
    if not counts.sum():
        return None
    mean = float(sums.sum() / counts.sum())
    if num_measured(photos) < MIN_IMAGES:
        return mean
    weights = sample_weights(len(photos), REPLICATES, seed=0)
    totals = counts @ weights
    samples = np.full(REPLICATES, np.nan)
    np.divide(sums @ weights, totals, out=samples, where=totals > 0)
    return percentile_interval(mean, samples)


def mean_difference(first: Sequence[Values], second: Sequence[Values]) -> Interval | float | None:
    """Return the mean of first minus second over the detections that have both values, as ``mean_of_photos`` does.

    The photos and their detections must be the same, in the same order; ValueError where their scores differ.
    """
    return mean_of_photos([_differences(*pair) for pair in zip(first, second, strict=True)])


def _differences(first: Values, second: Values) -> Values:
    return tuple(None if a is None or b is None else a - b for a, b in zip(first, second, strict=True))
