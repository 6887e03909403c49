"""Which detections are true, false, or count as nothing.

In each group the detections choose in the order of their scores, and what one takes the next cannot have. Groups do not
touch each other, so that the first detections of all groups choose at once, then the second ones, and so on; so do
areas and IoUs, each of which is a matching of its own. Only detections near a box take part.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from detect.evaluation.columns import Case, Flags, places_within
from detect.evaluation.overlaps import Pairs, near_pairs
from detect.evaluation.rules import Rules

FALSE, TRUE, NEUTRAL = 0, 1, 2


def assign(case: Case, ignored: Flags, rules: Rules) -> NDArray[np.int8]:
    """FALSE, TRUE or NEUTRAL for each detection, ignored set of boxes and IoU: (D, A, T).

    ignored (G, A): boxes that need not be found, and make a detection that takes them NEUTRAL. Of these the lenient
    ones can be taken by many.
    """
    pairs, edges = _rounds(case, near_pairs(case, rules), rules)
    ious = np.array(rules.ious)
    outcome = np.zeros((len(case.found.groups), ignored.shape[1], len(ious)), np.int8)
    taken = np.zeros((*ignored.shape, len(ious)), bool)
    for start, end in pairwise(edges):
        found, truth = pairs.found[start:end], pairs.truth[start:end]
        allowed = rules.match(pairs.overlaps[start:end, None, None], ious)  # (P, 1, T)
        if rules.second_choice:
            allowed = allowed & (case.truth.lenient[truth, None, None] | ~taken[truth])  # (P, A, T)
        # The pairs of a detection come in ascending worth; boxes that must be found may be worth more than others.
        places = np.arange(end - start, dtype=np.int32)
        worth = places[:, None] + places.size * (~ignored[truth] & rules.regular_first)  # (P, A)
        firsts = np.flatnonzero(np.diff(found, prepend=-1))
        best = np.maximum.reduceat(np.where(allowed, worth[:, :, None], -1), firsts, axis=0)  # a row a detection
        detection, area, iou = np.nonzero(best >= 0)
        box = truth[best[detection, area, iou] % places.size]
        found_it = np.where(taken[box, area, iou], FALSE, TRUE)
        outcome[found[firsts[detection]], area, iou] = np.where(ignored[box, area], NEUTRAL, found_it)
        taken[box, area, iou] = True
    return outcome


def _rounds(case: Case, pairs: Pairs, rules: Rules) -> tuple[Pairs, list[int]]:
    """The pairs of the detections that choose first, second, ..., and where each round starts and the last ends.

    In a round the pairs of a detection lie together, the best overlap last.
    """
    candidates, inverse = np.unique(pairs.found, return_inverse=True)
    rounds = places_within(case.found.groups[candidates])[inverse]
    ties = pairs.truth if rules.last_of_equals else -pairs.truth
    order = np.lexsort((ties, pairs.overlaps, pairs.found, rounds))
    count = int(rounds.max()) + 1 if len(rounds) else 0
    return pairs[order], np.searchsorted(rounds[order], np.arange(count + 1)).tolist()
