"""The scores of one heat map: how much of it lies on its object, and whether it is faithful to the network."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from torch import Tensor

from detect.bench.explaining_cases import ExplanationCase
from detect.bench.explaining_protocols import energy_in, highest_in, protocol_scores
from detect.explain.attribution.faithfulness import faithfulness
from detect.ops import boxes as box_ops

ENERGY = "mask energy"
POINTING = "pointing"
GAIN = "insertion - deletion"
LEAKAGE = "leakage"
EMPTY = "empty"  # 1 for a map without a value above 0, which scores 0 everywhere; in a note, not in a column
SEEDS = 3  # of each method with random draws


def score_map(case: ExplanationCase, heatmap: Tensor, image_map: np.ndarray) -> dict[str, float | None]:
    """Return the scores of a map by column: heatmap (1, h, w) over the target's pixels, image_map (H, W, 1).

    Energy: fraction of the values above 0 in the mask; pointing: 1 if the highest pixel is in the mask, of several such
    pixels the fraction; leakage: fraction in the masks of other objects of the class, None where there are none, and
    for a map without a value above 0.
    """
    empty = not (image_map > 0).any()
    faithful = faithfulness(case.target, case.index, heatmap[0])
    return {
        ENERGY: energy_in(image_map, case.mask),
        POINTING: highest_in(image_map, case.mask),
        GAIN: faithful.insertion_minus_deletion,
        LEAKAGE: None if empty or not case.other_masks.any() else energy_in(image_map, case.other_masks),
        EMPTY: float(empty),
        **protocol_scores(case, image_map, faithful),
    }


def correlations(cases: Sequence[ExplanationCase], image_maps: Sequence[np.ndarray]) -> list[float]:
    """Return the correlations between the maps of detections whose boxes share no pixel; constant maps have none."""
    disjoint = []
    for a, b in combinations(range(len(cases)), 2):
        boxes = [cases[i].target.detections[cases[i].index].box[None] for i in (a, b)]
        if not float(box_ops.intersections(*boxes)) and image_maps[a].std() and image_maps[b].std():
            disjoint.append(float(np.corrcoef(image_maps[a].ravel(), image_maps[b].ravel())[0, 1]))
    return disjoint


def seed_stds(cases: Sequence[ExplanationCase], by_seed: Sequence[Sequence[np.ndarray]]) -> list[float]:
    """Return the standard deviation of the mask energy of each case over the seeds."""
    return [
        float(np.std([energy_in(image_maps[i], case.mask) for image_maps in by_seed], ddof=1))
        for i, case in enumerate(cases)
    ]
