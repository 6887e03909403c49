from __future__ import annotations

import pytest
import torch

from detect.export.check import GraphCheck, same_detections
from detect.types import Detections


def some(*rows: tuple[float, float, int], mask: float | None = None) -> Detections:
    """Detections at x, with a score and a label."""
    boxes = torch.tensor([[x, 0, x + 10, 10] for x, _, _ in rows]).reshape(-1, 4).float()
    scores, labels = (torch.tensor([row[i] for row in rows]) for i in (1, 2))
    masks = None if mask is None else torch.full((len(rows), 4, 4), mask)
    return Detections(boxes, scores.float(), labels.long(), masks=masks)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (some(), some(), []),
        (some(), some((5, 0.5, 1)), []),
        (some((5, 0.5, 1)), some(), [[]]),
        (some((5, 0.5, 1)), some((5.04, 0.5009, 1)), [[True]]),
        (some((5, 0.5, 1)), some((5.06, 0.5, 1)), [[False]]),
        (some((5, 0.5, 1)), some((5, 0.502, 1)), [[False]]),
        (some((5, 0.5, 1)), some((5, 0.5, 2)), [[False]]),
        (some((5, 0.5, 1), (50, 0.5, 2)), some((50, 0.5, 2), (5, 0.5, 1)), [[False, True], [True, False]]),
        (some((5, 0.5, 1), mask=0.2), some((5, 0.5, 1), mask=0.205), [[True]]),
        (some((5, 0.5, 1), mask=0.2), some((5, 0.5, 1), mask=0.4), [[False]]),
        (some(mask=0.2), some(mask=0.4), []),
    ],
)
def test_same_detections(a: Detections, b: Detections, expected: list[list[bool]]) -> None:
    assert same_detections(a, b).tolist() == expected


@pytest.mark.parametrize(
    ("counts", "passes"),
    [((0, 0, 0, 0), True), ((100, 100, 99, 100), True), ((100, 100, 98, 100), False), ((100, 102, 100, 100), False)],
)
def test_either_side_must_have_the_other(counts: tuple[int, int, int, int], passes: bool) -> None:
    assert GraphCheck(3, *counts).passes == passes
