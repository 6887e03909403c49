"""The combined explanation: the cost of hiding against a loop over patches, and the product of all factors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from detect.explain.attribution.cams import eigengradcam, hirescam
from detect.explain.attribution.combined import FLOOR, combined, hiding_cost
from detect.explain.attribution.options import MethodOptions, no_progress
from detect.models.layer_hooks import stage_names
from tests.explain.example_detectors import OBJECT, PROPOSAL, SIDE, make_target

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


def in_pixels(maps: Tensor) -> Tensor:
    large = functional.interpolate(maps, (SIDE, SIDE), mode="bilinear", align_corners=False)
    return large / large.max()


def test_combined_map_is_the_product_of_its_factors() -> None:
    target = make_target("fast_rcnn")
    first, second = (in_pixels(hirescam(target, replace(OPTIONS, layer=name))) for name in stage_names(target.network))
    component = in_pixels(eigengradcam(target, OPTIONS))
    expected = (first + second) / 2 * (component + FLOOR) * (hiding_cost(target, OPTIONS) + FLOOR)
    heat = combined(target, OPTIONS)
    torch.testing.assert_close(heat, expected)
    assert heat[0, 0, OBJECT[1] : OBJECT[3], OBJECT[0] : OBJECT[2]].sum() > 0.9 * heat.sum()


@pytest.mark.parametrize(
    "box",
    [(20.0, 12.0, 23.0, 14.5), (20.2, 12.2, 20.6, 12.6), (-30.0, -8.0, 40.0, 80.0)],
    ids=["small", "inside a pixel", "beyond the image"],
)
def test_hiding_cost_of_unusual_proposals_is_inside_them(box: tuple[float, ...]) -> None:
    target = make_target("fast_rcnn")
    (detection,) = target.detections
    moved = replace(target, detections=(replace(detection, proposal=torch.tensor(box)),))
    heat = hiding_cost(moved, OPTIONS)[0, 0]
    assert bool(heat.isfinite().all())
    x1, y1, x2, y2 = (round(min(max(edge, 0), SIDE)) for edge in box)
    inside = torch.zeros_like(heat, dtype=torch.bool)
    inside[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)] = True
    assert not heat[~inside].any()
