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
    return torch.tensor([box for box, _ in rows]).reshape(-1, 4), torch.tensor([label for _, label in rows]).long()


def compared(theirs: list[Rows], ours: list[Rows]) -> Any:
    wanted = [dict(zip(("boxes", "labels"), tensors(rows), strict=True)) for rows in theirs]
    own = [Detections(boxes, torch.ones(len(boxes)), labels) for boxes, labels in map(tensors, ours)]
    return TOOL["agreement"](wanted, own, 0.05)


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
def test_boxes_of_a_label_are_found_within_a_twentieth_of_a_pixel(
    theirs: list[Rows], ours: list[Rows], counts: tuple[int, ...]
) -> None:
    found = compared(theirs, ours)
    assert (found.theirs, found.ours, found.found, found.fewest) == counts


@pytest.mark.parametrize(
    ("theirs", "ours", "found", "fewest", "good"),
    [
        (0, 0, 0, 0, False),  # nothing was compared
        (200, 200, 200, 101, True),
        (200, 200, 200, 100, False),
        (200, 196, 196, 101, True),
        (200, 200, 195, 101, False),
        (200, 205, 200, 101, False),
    ],
)
def test_what_is_good_enough(theirs: int, ours: int, found: int, fewest: int, good: bool) -> None:
    assert TOOL["Agreement"](theirs, ours, found, fewest).good == good
