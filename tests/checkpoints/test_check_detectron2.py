from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch

from detect.types import Detections

TOOL = runpy.run_path(str(Path(__file__).resolve().parents[2] / "tools" / "check_detectron2.py"))
BOX = (10.0, 20.0, 30.0, 40.0)
MOVED = (10.0, 20.0, 30.0, 40.04)
Rows = list[tuple[tuple[float, ...], int]]


def tensors(rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows of (box, label) as boxes (D, 4) and labels (D,)."""
    return torch.tensor([box for box, _ in rows]).reshape(-1, 4), torch.tensor([label for _, label in rows]).long()


def agreement(theirs: list[Rows], ours: list[Rows]) -> Any:
    """Return the agreement of boxes in a tolerance of 0.05 pixels."""
    reference = [dict(zip(("boxes", "labels"), tensors(rows), strict=True)) for rows in theirs]
    detections = [Detections(boxes, torch.ones(len(boxes)), labels) for boxes, labels in map(tensors, ours)]
    return TOOL["measure_agreement"](reference, detections, 0.05)


@pytest.mark.parametrize(
    ("theirs", "ours", "counts"),
    [
        ([[]], [[]], (0, 0, 0, 0)),
        ([[(BOX, 1)]], [[]], (1, 0, 0, 1)),
        ([[(BOX, 1)]], [[(MOVED, 1)]], (1, 1, 1, 1)),
        ([[(BOX, 1)]], [[(BOX, 2)]], (1, 1, 0, 1)),
        ([[((10.0, 20.0, 30.0, 39.9), 1)]], [[(BOX, 1)]], (1, 1, 0, 1)),
        ([[(BOX, 1)], []], [[], [(BOX, 1)]], (1, 1, 0, 0)),
    ],
)
def test_measure_agreement_counts_boxes_of_the_same_label_within_the_tolerance(
    theirs: list[Rows], ours: list[Rows], counts: tuple[int, ...]
) -> None:
    measured = agreement(theirs, ours)
    assert (measured.theirs, measured.ours, measured.matched, measured.min_per_image) == counts


@pytest.mark.parametrize(
    ("probability", "columns", "masks_matched"),
    [(0.0, 0, 1), (0.0, 1, 0), (1.0, 20, 1), (1.0, 19, 0)],  # of a mask, and of their pixels in the box
)
def test_measure_agreement_compares_masks_in_the_image(probability: float, columns: int, masks_matched: int) -> None:
    boxes, labels = tensors([(BOX, 1)])
    masks = torch.zeros(1, 50, 60, dtype=torch.bool)
    masks[:, 20:40, 10 : 10 + columns] = True
    ours = Detections(boxes, torch.ones(1), labels, masks=torch.full((1, 28, 28), probability))
    measured = TOOL["measure_agreement"]([{"boxes": boxes, "labels": labels, "masks": masks}], [ours], 0.05)
    assert (measured.matched, measured.masks_matched) == (1, masks_matched)


@pytest.mark.parametrize(("masks_matched", "within_limits"), [(None, True), (198, True), (197, False)])
def test_agreement_of_masks_within_limits(masks_matched: int | None, within_limits: bool) -> None:
    assert TOOL["Agreement"](200, 200, 200, 101, masks_matched).within_limits == within_limits


@pytest.mark.parametrize(
    ("theirs", "ours", "matched", "min_per_image", "within_limits"),
    [
        (0, 0, 0, 0, False),  # no boxes at all
        (200, 200, 200, 101, True),
        (200, 200, 200, 100, False),
        (200, 196, 196, 101, True),
        (200, 200, 195, 101, False),
        (200, 205, 200, 101, False),
    ],
)
def test_agreement_within_limits(theirs: int, ours: int, matched: int, min_per_image: int, within_limits: bool) -> None:
    assert TOOL["Agreement"](theirs, ours, matched, min_per_image).within_limits == within_limits
