"""The detections that come near a ground-truth box of their own photo and class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from detect.evaluation.columns import Boxes, Case, Flags, Floats, Places
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
