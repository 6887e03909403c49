"""Which detections are true, false, or count as nothing.

In each group the detections choose in the order of their scores, and what one takes the next cannot have. Groups do not
touch each other, so that the first detections of all groups choose at once, then the second ones, and so on; so do
areas and IoUs, each of which is a matching of its own. Only detections near a box take part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from detect.evaluation.columns import Boxes, Case, Flags, Floats, Places, places_within
from detect.evaluation.rules import Rules

_BLOCK = 1 << 19  # pairs measured at once: about 100 MB


@dataclass(frozen=True)
class Pairs:
    """P detections beside a box: found and truth (P,), their places in the case, ascending; overlaps (P,) in 0..1."""

    found: Places
    truth: Places
    overlaps: Floats

    def __getitem__(self, chosen: Places | Flags) -> Pairs:
        return Pairs(self.found[chosen], self.truth[chosen], self.overlaps[chosen])


def near_pairs(case: Case, rules: Rules) -> Pairs:
    """The pairs that match at the least of the IoUs; memory grows with these, not with all pairs that are looked at."""
    least = min(rules.ious)
    blocks = [block[rules.match(block.overlaps, least)] for block in _all_pairs(case, rules.inside_lenient)]
    return Pairs(
        np.concatenate([np.zeros(0, np.int64), *(block.found for block in blocks)]),
        np.concatenate([np.zeros(0, np.int64), *(block.truth for block in blocks)]),
        np.concatenate([np.zeros(0), *(block.overlaps for block in blocks)]),
    )


def _all_pairs(case: Case, inside_lenient: bool) -> Iterator[Pairs]:
    """Every detection beside every box of its group, some detections at a time."""
    truth, found = case.truth, case.found
    first = np.searchsorted(truth.groups, found.groups, side="left")
    counts = np.searchsorted(truth.groups, found.groups, side="right") - first
    rows = np.flatnonzero(counts)
    first, counts = first[rows], counts[rows]
    ends = np.cumsum(counts)
    for block in np.split(np.arange(len(rows)), _splits(ends)):
        count = counts[block]
        pair_found = np.repeat(rows[block], count)
        starts = np.cumsum(count) - count
        pair_truth = np.arange(len(pair_found)) + np.repeat(first[block] - starts, count)
        whole = truth.lenient[pair_truth] if inside_lenient else np.zeros(len(pair_truth), bool)
        yield Pairs(pair_found, pair_truth, _overlaps(found.boxes[pair_found], truth.boxes[pair_truth], whole))


def _splits(ends: Places) -> Places:
    """Where to cut rows whose pairs end at ``ends`` so that a block holds few, but a whole row at least."""
    total = int(ends[-1]) if len(ends) else 0
    return np.unique(np.searchsorted(ends, np.arange(_BLOCK, total, _BLOCK), side="right"))


def _overlaps(found: Boxes, truth: Boxes, whole: Flags) -> Floats:
    """Intersection over union, pair by pair, or over the detection's area where ``whole`` says so."""
    high = np.minimum(found.corners[:, 2:], truth.corners[:, 2:])
    sides = np.maximum(high - np.maximum(found.corners[:, :2], truth.corners[:, :2]), 0.0)
    shared = sides[:, 0] * sides[:, 1]
    union = np.where(whole, found.areas, found.areas + truth.areas - shared)
    overlaps: Floats = np.divide(shared, union, out=np.zeros(len(shared)), where=shared > 0)
    return overlaps


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
