"""Layers go back to float by what they cost, and no more of them than the accuracy needs."""

from __future__ import annotations

from collections.abc import Collection

import pytest
import torch

from detect.export.float_layers import choose_float_layers, similarity
from detect.types import Detections

COSTS = {"a": 0.1, "b": 0.4, "c": 0.0, "d": 0.2, "e": -0.1, "f": 0.05}


@pytest.mark.parametrize(
    ("names", "drops", "chosen"),
    [
        ("", [0.5], ""),
        ("abcdef", [0.01], ""),
        ("ce", [0.5], ""),  # nothing helps
        ("abcdef", [0.5, 0.01], "b"),
        ("abcdef", [0.5, 0.02, 0.01], "bd"),
        ("abcdef", [0.5, 0.4, 0.3, 0.2], "bdaf"),  # all that help, and the drop is not met
        ("abd", [0.5, 0.4, 0.3, 0.2], "bda"),
    ],
)
def test_the_most_costly_layers_go_back_until_the_drop_is_met(names: str, drops: list[float], chosen: str) -> None:
    measured: list[list[str]] = []

    def drop(layers: Collection[str]) -> float:
        measured.append(list(layers))
        return drops[len(measured) - 1]

    choice = choose_float_layers(list(names), lambda layers: 0.5 + sum(COSTS[name] for name in layers), drop, 0.01)
    assert "".join(layer.name for layer in choice.layers) == chosen
    assert [layer.cost for layer in choice.layers] == pytest.approx([COSTS[name] for name in chosen])
    assert len(measured) == len(drops)
    assert choice.drop == drops[-1]


def some(*rows: tuple[float, float, int]) -> Detections:
    """Boxes of 10 x 10 at x, with a score and a label."""
    boxes = torch.tensor([[x, 0, x + 10, 10] for x, _, _ in rows]).reshape(-1, 4).float()
    return Detections(
        boxes, torch.tensor([row[1] for row in rows]).float(), torch.tensor([row[2] for row in rows]).long()
    )


@pytest.mark.parametrize(
    ("expected", "detections", "share"),
    [
        (some(), some(), 1.0),
        (some(), some((0, 0.9, 1)), 1.0),
        (some((0, 0.9, 1)), some(), 0.0),
        (some((0, 0.9, 1)), some((0, 0.9, 1)), 1.0),
        (some((0, 0.9, 1)), some((0, 0.9, 2)), 0.0),
        (some((0, 0.9, 1)), some((0, 0.4, 1)), 0.5),
        (some((0, 0.9, 1)), some((5, 0.9, 1)), 1 / 3),
        (some((0, 0.6, 1), (50, 0.2, 1)), some((0, 0.6, 1)), 0.75),
    ],
)
def test_similarity(expected: Detections, detections: Detections, share: float) -> None:
    assert similarity(expected, detections) == pytest.approx(share)
