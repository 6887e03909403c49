"""How sure an AP is: intervals by the bootstrap over photos (Efron and Tibshirani 1993, chapter 13).

A photo that is drawn n times counts n times. What became of a detection depends on its own photo alone, so that nothing
is matched anew: of each class the ranking stays, and its detections and objects get weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from detect.analysis.matches import Matches, photos_of, rankings
from detect.evaluation.assignment import NEUTRAL, TRUE
from detect.evaluation.case import Floats, Places
from detect.randomness import generator

_BLOCK = 1 << 18  # weights of detections looked at at once: 1 MB, what a cache holds (a third of the time)

_NORMAL = NormalDist()

Weights = NDArray[np.int32]


@dataclass(frozen=True)
class Interval:
    """A value and the ends of its 95% interval, which holds it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Intervals:
    """Of the mean AP and the AP of each class in 0..1; None where there is nothing to find."""

    mAP: Interval | None  # noqa: N815  the field's own spelling
    per_class: dict[str, Interval | None]


def bootstrap(matches: Matches, replicates: int = 1000, seed: int = 0) -> Intervals:
    """AP under the rules of the matches, with 95% intervals."""
    photos = len(matches.photos)
    values = resampled(matches, np.ones((photos, 1), np.int32))
    draws = resampled(matches, draw(photos, replicates, seed))
    per_class = {name: interval(values[0, k], draws[:, k]) for k, name in enumerate(matches.classes)}
    return Intervals(interval(means(values)[0], means(draws)), per_class)


def draw(photos: int, replicates: int, seed: int) -> Weights:
    """How often each photo is in each sample of as many photos, drawn with replacement: (N, B)."""
    chosen = generator(seed, "bootstrap").integers(0, max(photos, 1), (replicates, photos))
    places = chosen + photos * np.arange(replicates)[:, None]
    counts = np.bincount(places.ravel(), minlength=replicates * photos).reshape(replicates, photos)
    return np.ascontiguousarray(counts.T.astype(np.int32))


def interval(value: float, draws: Floats) -> Interval | None:
    """The bias-corrected percentile interval (Efron 1981; Efron and Tibshirani 1993, section 14.3) of draws (B,).

    Draws that are NaN (samples without an object of the class) are left out; None where the value is NaN or all are.

    The fewer the photos, the higher AP tends to be, and a sample has fewer distinct ones than the data: plain
    percentiles lie too high. They held the mAP of 1,000 VOC photos in 65 of 100 samples of 200 of them and in 88 of
    500, the corrected ones in 84 and 93.
    """
    known = draws[~np.isnan(draws)]
    if np.isnan(value) or not len(known):
        return None
    shift, tail = 2 * _place(value, known), _NORMAL.inv_cdf(0.975)
    low, high = np.percentile(known, [100 * _NORMAL.cdf(shift - tail), 100 * _NORMAL.cdf(shift + tail)])
    return Interval(float(value), min(float(low), float(value)), max(float(high), float(value)))


def share_above_zero(value: float, draws: Floats) -> float:
    """How sure it is, in 0..1, that what was measured as ``value`` is above 0, from its draws (B,).

    The share of draws above 0 (equal: half), corrected as ``interval`` is: it is below 0.025 or above 0.975 just where
    0 is outside of that. NaN as there.
    """
    known = draws[~np.isnan(draws)]
    if np.isnan(value) or not len(known):
        return float("nan")
    return _NORMAL.cdf(2 * _place(value, known) - _place(0.0, known))


def _place(value: float, draws: Floats) -> float:
    """The share of the draws below a value (equal: half), as a quantile of the normal distribution."""
    below = (draws < value).sum() + (draws == value).sum() / 2
    return _NORMAL.inv_cdf(float(np.clip(below, 0.5, len(draws) - 0.5)) / len(draws))


def means(aps: Floats) -> Floats:
    """The mean over the classes that have an AP: (B, K) -> (B,), NaN where none has."""
    known = ~np.isnan(aps)
    count = known.sum(axis=1)
    mean: Floats = np.full(len(aps), np.nan)
    np.divide(np.where(known, aps, 0.0).sum(axis=1), count, out=mean, where=count > 0)
    return mean


def resampled(matches: Matches, weights: Weights) -> Floats:
    """AP of each class, (B, K), in B samples where the photo n of the data counts ``weights[n, b]`` times.

    NaN where a sample has nothing to find.
    """
    case, lenient = matches.case, matches.case.truth.lenient
    weights = weights[matches.photos]
    aps = np.full((weights.shape[1], case.classes), np.nan)
    for k, (rows, boxes) in enumerate(zip(rankings(matches), case.of_class(case.truth.groups), strict=True)):
        objects = photos_of(case, case.truth.groups[boxes][~lenient[boxes]])
        photos, outcome = photos_of(case, case.found.groups[rows]), matches.outcome[rows]
        step = max(_BLOCK // max(len(rows), 1), 1)
        for start in range(0, weights.shape[1], step):
            block = weights[:, start : start + step]
            positives = block[objects].sum(axis=0)
            aps[start : start + step, k] = _class_aps(block[photos], outcome, positives, matches.rules.recall_grid)
    return aps


def _class_aps(
    weights: Weights, outcome: NDArray[np.int8], positives: Places, recall_grid: Sequence[float] | None
) -> Floats:
    """AP in each sample: weights (D, B) and outcome (D, T) down the ranking, positives (B,)."""
    ranked = np.cumsum(weights, axis=0, dtype=np.int32)
    needed = None if recall_grid is None else _needed(positives, np.array(recall_grid))
    total = np.zeros(len(positives))
    for column in outcome.T:
        hits, neutral = np.flatnonzero(column == TRUE), np.flatnonzero(column == NEUTRAL)
        skipped = np.cumsum(weights[neutral], axis=0, dtype=np.int32)
        skipped = np.concatenate([np.zeros_like(weights[:1]), skipped])
        counted = ranked[hits] - skipped[np.searchsorted(neutral, hits)]
        copies = weights[hits]
        precision = np.cumsum(copies, axis=0, dtype=np.int32) / np.maximum(counted, 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        if needed is None:
            total += (envelope * copies).sum(axis=0) / np.maximum(positives, 1)
        else:
            total += _at_hits(envelope, copies, needed).mean(axis=1)
    return np.where(positives > 0, total / outcome.shape[1], np.nan)


def _needed(positives: Places, recalls: Floats) -> Places:
    """The least number of hits that reaches each recall: (B, R), 1 at least."""
    found = np.maximum(positives, 1)[:, None]
    hits = np.maximum((recalls * found).astype(np.int64) - 1, 1)
    for _ in range(3):
        hits += hits / found < recalls
    return hits


def _at_hits(envelope: Floats, copies: Weights, needed: Places) -> Floats:
    """The envelope at the n-th hit of each sample, 0 where there are fewer: (H, B), (H, B), (B, R) -> (B, R)."""
    of_hits = np.append(np.repeat(envelope.T.ravel(), copies.T.ravel()), 0.0)
    found = copies.sum(axis=0)
    first = np.cumsum(found) - found
    reached = needed <= found[:, None]
    return of_hits[np.where(reached, first[:, None] + needed - 1, len(of_hits) - 1)]
