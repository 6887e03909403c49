"""Assignment of detections to ground-truth boxes: which detections are true positives, false positives, or ignored.

The plain algorithm, for each group (a class in an image), each set of ignored boxes (COCO's area ranges) and each IoU:

    matched = set()
    for detection in detections of the group, best score first:
        candidates = boxes with overlap >= IoU (if rules.rematch_if_taken, only difficult, crowd and unmatched ones)
        best = the candidate of highest overlap (boxes that count before ignored ones, if rules.prefer_counted)
        if there is no candidate:      FALSE_POSITIVE
        else if best is ignored:       IGNORED
        else if best is in matched:    FALSE_POSITIVE
        else:                          TRUE_POSITIVE
        best (if there is one) joins matched

Here the same is computed for all groups, sets and IoUs at once. Groups do not share boxes, so the best-scored
detections of all groups choose at once (round 0), then the second ones of all groups (round 1), and so on. Only
candidate pairs take part, the pairs of detection and box whose overlap reaches the lowest IoU.

Example: one group with boxes A and B, detections d0 (score 0.9; IoU 0.8 with A, 0.6 with B) and d1 (score 0.7; IoU 0.7
with A). Candidate pairs at IoU 0.5, in ascending overlap within a detection: round 0 has (d0, B), (d0, A), round 1 has
(d1, A). In round 0 the last pair that is allowed wins: d0 matches A and is a TRUE_POSITIVE. In round 1 A is already
matched: d1 is a FALSE_POSITIVE.

tests/evaluation/test_rules.py::test_assignment_for_random_rules_equals_the_slow_rules holds this to the plain
algorithm, which stands there in tests/evaluation/reference_rules.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from detect.evaluation.columns import BoolArray, EvalColumns, FloatArray, IntArray, rank_in_group
from detect.evaluation.rules import Rules

_BLOCK = 1 << 19  # pairs whose overlap is measured at once: about 100 MB

FALSE_POSITIVE, TRUE_POSITIVE, IGNORED = 0, 1, 2


@dataclass(frozen=True)
class CandidatePairs:
    """P pairs of a detection and a ground-truth box of the same group, in ascending order.

    det_index, gt_index (P,): rows of the detections and of the ground truth; overlaps (P,) in 0..1.
    """

    det_index: IntArray
    gt_index: IntArray
    overlaps: FloatArray

    def __getitem__(self, rows: IntArray | BoolArray) -> CandidatePairs:
        return CandidatePairs(self.det_index[rows], self.gt_index[rows], self.overlaps[rows])


def candidate_pairs(columns: EvalColumns, rules: Rules) -> CandidatePairs:
    """Return the pairs that match at the lowest of the rules' IoUs.

    Memory grows with the number of these pairs, not with the number of all pairs that are measured.
    """
    min_iou = min(rules.ious)
    blocks = [block[rules.match(block.overlaps, min_iou)] for block in _all_pairs(columns, rules.ioa_with_ignored)]
    return CandidatePairs(
        np.concatenate([np.zeros(0, np.int64), *(block.det_index for block in blocks)]),
        np.concatenate([np.zeros(0, np.int64), *(block.gt_index for block in blocks)]),
        np.concatenate([np.zeros(0), *(block.overlaps for block in blocks)]),
    )


def _all_pairs(columns: EvalColumns, ioa_with_ignored: bool) -> Iterator[CandidatePairs]:
    """Yield every pair of a detection and a box of its group, a block of detections at a time."""
    ground_truth, detections = columns.ground_truth, columns.detections
    first = np.searchsorted(ground_truth.groups, detections.groups, side="left")
    counts = np.searchsorted(ground_truth.groups, detections.groups, side="right") - first
    rows = np.flatnonzero(counts)
    first, counts = first[rows], counts[rows]
    ends = np.cumsum(counts)
    for block in np.split(np.arange(len(rows)), _block_edges(ends)):
        count = counts[block]
        det_index = np.repeat(rows[block], count)
        starts = np.cumsum(count) - count
        gt_index = np.arange(len(det_index)) + np.repeat(first[block] - starts, count)
        use_ioa = ground_truth.ignore[gt_index] if ioa_with_ignored else np.zeros(len(gt_index), bool)
        overlaps = detections.boxes[det_index].overlaps(ground_truth.boxes[gt_index], use_ioa)
        yield CandidatePairs(det_index, gt_index, overlaps)


def _block_edges(ends: IntArray) -> IntArray:
    """Return where to split detections whose pairs end at ``ends`` into blocks of about _BLOCK pairs.

    A block holds at least one detection.
    """
    total = int(ends[-1]) if len(ends) else 0
    return np.unique(np.searchsorted(ends, np.arange(_BLOCK, total, _BLOCK), side="right"))


def assign(columns: EvalColumns, ignored: BoolArray, rules: Rules) -> NDArray[np.int8]:
    """Return FALSE_POSITIVE, TRUE_POSITIVE or IGNORED for each detection, set of ignored boxes and IoU: (D, A, T).

    ignored (G, A): boxes that need not be found, and that make a detection which matches them IGNORED. Those of them
    that are difficult or crowds (``ground_truth.ignore``) can be matched by many detections.
    """
    pairs, edges = _by_rank(columns, candidate_pairs(columns, rules), rules)
    ious = np.array(rules.ious)
    outcome = np.zeros((len(columns.detections.groups), ignored.shape[1], len(ious)), np.int8)
    matched = np.zeros((*ignored.shape, len(ious)), bool)
    for start, end in pairwise(edges):
        det_index, gt_index = pairs.det_index[start:end], pairs.gt_index[start:end]
        allowed = rules.match(pairs.overlaps[start:end, None, None], ious)  # (P, 1, T)
        if rules.rematch_if_taken:
            allowed = allowed & (columns.ground_truth.ignore[gt_index, None, None] | ~matched[gt_index])  # (P, A, T)
        # The pairs of a detection are in ascending overlap, so that the position of a pair is its preference;
        # with prefer_counted, boxes that count come after all ignored ones.
        positions = np.arange(end - start, dtype=np.int32)
        preference = positions[:, None] + positions.size * (~ignored[gt_index] & rules.prefer_counted)  # (P, A)
        firsts = np.flatnonzero(np.diff(det_index, prepend=-1))  # the first pair of each detection
        best = np.maximum.reduceat(np.where(allowed, preference[:, :, None], -1), firsts, axis=0)  # a row a detection
        detection, area, iou = np.nonzero(best >= 0)
        box = gt_index[best[detection, area, iou] % positions.size]
        if_counted = np.where(matched[box, area, iou], FALSE_POSITIVE, TRUE_POSITIVE)
        outcome[det_index[firsts[detection]], area, iou] = np.where(ignored[box, area], IGNORED, if_counted)
        matched[box, area, iou] = True
    return outcome


def _by_rank(columns: EvalColumns, pairs: CandidatePairs, rules: Rules) -> tuple[CandidatePairs, list[int]]:
    """Sort the pairs by round; return them with the start of each round and the end of the last one.

    The round of a pair is the rank of its detection among the detections of its group that have a candidate. Within a
    round the pairs of a detection lie together, the best overlap last.
    """
    candidates, inverse = np.unique(pairs.det_index, return_inverse=True)
    rounds = rank_in_group(columns.detections.groups[candidates])[inverse]
    ties = pairs.gt_index if rules.last_on_ties else -pairs.gt_index
    order = np.lexsort((ties, pairs.overlaps, pairs.det_index, rounds))
    num_rounds = int(rounds.max()) + 1 if len(rounds) else 0
    return pairs[order], np.searchsorted(rounds[order], np.arange(num_rounds + 1)).tolist()
