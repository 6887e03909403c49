"""The combined explanation: the cost of hiding against a loop over patches, and what the product leaves out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from detect.explain.attribution.combined import combined, hiding_cost
from detect.explain.attribution.options import MethodOptions, no_progress
from tests.explain.example_detectors import OBJECT, OTHER, PROPOSAL, SIDE, make_target

OPTIONS = MethodOptions(no_progress)


def test_hiding_cost_is_the_mean_over_the_patches_of_a_loop() -> None:
    target = make_target("fast_rcnn")
    x1, y1, x2, y2 = PROPOSAL
    total, count = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
    with torch.no_grad():
        before = float(target.objective(target.pixels))
        for row in range(7):
            for column in range(7):
                left, top = x1 + column * (x2 - x1) / 8, y1 + row * (y2 - y1) / 8
                inside = np.array(
                    [
                        [left <= x + 0.5 < left + (x2 - x1) / 4 and top <= y + 0.5 < top + (y2 - y1) / 4]
                        for y in range(SIDE)
                        for x in range(SIDE)
                    ]
                ).reshape(SIDE, SIDE)
                hidden = target.pixels * torch.from_numpy(~inside)
                total += inside * max(before - float(target.objective(hidden)), 0)
                count += inside
    expected = total / np.maximum(count, 1)
    heat = hiding_cost(target, OPTIONS)[0, 0].numpy()
    np.testing.assert_allclose(heat, expected / expected.max(), atol=1e-5)
    assert heat.max() == 1
    assert not heat[: int(y1)].any()
    assert not heat[:, int(x2) :].any()


@pytest.mark.parametrize("kind", ["fast_rcnn", "rcnn"])
def test_combined_map_is_empty_where_nothing_is_evidence(kind: str) -> None:
    assert not combined(make_target(kind, "y1"), OPTIONS).any()  # an edge that nothing moves


def test_combined_map_leaves_out_the_other_object() -> None:
    heat = combined(make_target("fast_rcnn"), OPTIONS)[0, 0].numpy()
    assert heat.max() <= 1
    assert heat[OBJECT[1] : OBJECT[3], OBJECT[0] : OBJECT[2]].sum() > 0.9 * heat.sum()
    assert not heat[OTHER[1] : OTHER[3], OTHER[0] : OTHER[2]].any()
