"""IDF1 (Ristani et al. 2016) with its own overlaps and its own search for the best identities, for tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import networkx
import numpy as np

Rows = Sequence[tuple[np.ndarray, np.ndarray]]  # of each frame the boxes (B, 4) and the identities (B,), 0 for none


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return float(shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared))


def idf1(truth: Rows, tracked: Rows) -> float:
    """2 IDTP / (true boxes + tracked boxes): each true identity is paired with one track, so that most boxes agree."""
    shared: Counter[tuple[int, int]] = Counter()
    for (true_boxes, true_ids), (boxes, ids) in zip(truth, tracked, strict=True):
        for true_box, true_id in zip(true_boxes, true_ids, strict=True):
            for box, number in zip(boxes, ids, strict=True):
                shared[int(true_id), int(number)] += number > 0 and _overlap(true_box, box) >= 0.5
    graph = networkx.Graph()
    graph.add_weighted_edges_from((f"t{a}", f"p{b}", count) for (a, b), count in shared.items() if count)
    pairs = networkx.max_weight_matching(graph)
    agreed = sum(graph.edges[pair]["weight"] for pair in pairs)
    total = sum(len(ids) for _, ids in truth) + sum(int((ids > 0).sum()) for _, ids in tracked)
    return 2 * agreed / total if total else 1.0
