"""Segments: neighboring words of a sentence that belong to one region, found by a Markov random field on a chain.

Karpathy and Fei-Fei 2015 (https://arxiv.org/abs/1412.2306), section 3.1.4. Words alone often take different regions for
one phrase; the field rewards neighbors that agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Segment:
    """The words first..end - 1 of a sentence, which belong to the region of this row."""

    first: int
    end: int
    region: int


def assign_regions(scores: np.ndarray, beta: float) -> np.ndarray:
    """Return the region (T,) of each word that together maximize the field, of scores (T, R), R at least 1.

    E(a) = sum_t scores[t, a_t] + sum_t beta [a_t = a_{t+1}] (equations 10 and 11), by dynamic programming in T x R
    steps. Of assignments that are equally good it takes that with the lower region at the last word, then at the one
    before, and so on.
    """
    num_words, num_regions = scores.shape
    best = np.zeros(num_regions)  # of assignments of the words so far that end with each region
    previous = np.zeros((num_words, num_regions), np.int64)  # the region before it in that assignment
    for t in range(num_words):
        if t:
            leader = int(np.argmax(best))
            stays = best + beta
            switches = np.full(num_regions, best[leader])
            regions = np.arange(num_regions)
            takes_leader = (switches > stays) | ((switches == stays) & (leader < regions))
            previous[t] = np.where(takes_leader, leader, regions)
            best = np.maximum(switches, stays)
        best = best + scores[t].astype(np.float64)
    assigned = np.zeros(num_words, np.int64)
    if num_words:
        assigned[-1] = int(np.argmax(best))
    for t in range(num_words - 1, 0, -1):
        assigned[t - 1] = previous[t, assigned[t]]
    return assigned


def split_segments(assigned: np.ndarray) -> tuple[Segment, ...]:
    """Return the segments of the regions (T,) of words: the longest runs of neighbors with the same region."""
    if not len(assigned):
        return ()
    ends = [*(np.flatnonzero(np.diff(assigned)) + 1).tolist(), len(assigned)]
    return tuple(
        Segment(first=first, end=end, region=int(assigned[first]))
        for first, end in zip([0, *ends[:-1]], ends, strict=True)
    )
