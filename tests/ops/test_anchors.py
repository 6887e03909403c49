from __future__ import annotations

import math

import pytest
import torch
from torchvision.models.detection import anchor_utils

from detect.models.proposers.rpn_head import RPNHead
from detect.ops.anchors import AnchorGenerator
from detect.types import Size

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("sides", "ratios", "cells", "stride", "offset", "expected"),
    [
        ((16.0,), (1.0,), (0, 3), 8, 0.5, []),
        ((16.0,), (1.0,), (1, 1), 8, 0.5, [(-4, -4, 12, 12)]),
        ((16.0,), (1.0,), (1, 2), 8, 0.0, [(-8, -8, 8, 8), (0, -8, 16, 8)]),
        ((8.0,), (4.0,), (1, 1), 16, 0.5, [(6, 0, 10, 16)]),  # ratio is height over width
        ((8.0,), (0.25,), (1, 1), 16, 0.5, [(0, 6, 16, 10)]),
        ((2.0, 4.0), (1.0,), (2, 1), 4, 0.5, [(1, 1, 3, 3), (0, 0, 4, 4), (1, 5, 3, 7), (0, 4, 4, 8)]),
        # All cells of a row before the next row, sides before ratios within a cell.
        ((2.0,), (1.0,), (2, 2), 4, 0.5, [(1, 1, 3, 3), (5, 1, 7, 3), (1, 5, 3, 7), (5, 5, 7, 7)]),
        ((2.0, 4.0), (1.0, 4.0), (1, 1), 8, 0.5, [(3, 3, 5, 5), (3.5, 2, 4.5, 6), (2, 2, 6, 6), (3, 0, 5, 8)]),
    ],
)
def test_anchors_by_hand(
    sides: tuple[float, ...],
    ratios: tuple[float, ...],
    cells: Size,
    stride: int,
    offset: float,
    expected: list[tuple[float, ...]],
) -> None:
    actual = AnchorGenerator((sides,), ratios, offset).grid_anchors(0, cells, stride, CPU)
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=torch.float32).reshape(-1, 4))


@pytest.mark.parametrize(("cells", "spacing"), [((0, 0), (8, 8)), ((2, 3), (16, 16)), ((3, 2), (53, 64))])
def test_rounded_anchors_equal_torchvision(cells: Size, spacing: Size) -> None:
    sides, ratios = (16.0, 100.0), (0.5, 1.0, 2.0)
    theirs = anchor_utils.AnchorGenerator((sides,), (ratios,))
    steps = [[torch.tensor(step) for step in spacing]]
    expected = theirs.grid_anchors([list(cells)], steps)[0].view(-1, 3, 2, 4).transpose(1, 2)  # theirs: ratios first
    actual = AnchorGenerator((sides,), ratios, offset=0.0, round_half_sizes=True).grid_anchors(0, cells, spacing, CPU)
    assert torch.equal(actual, expected.reshape(-1, 4))


def test_anchors_have_the_requested_dtype() -> None:
    single, double = (
        AnchorGenerator(((32.0,),)).grid_anchors(0, (1, 1), 16, CPU, t) for t in (torch.float32, torch.float64)
    )
    assert double.dtype == torch.float64
    assert float((double[0, 2] - double[0, 0]) - 32 * math.sqrt(2)) < 1e-13 < float((single - double).abs().max())


def test_anchors_have_the_papers_areas_and_ratios() -> None:
    shapes = AnchorGenerator(((128.0, 256.0, 512.0),))
    assert shapes.num_anchors_per_location(0) == 9
    anchors = shapes.grid_anchors(0, (1, 1), 16, CPU)
    width, height = anchors[:, 2] - anchors[:, 0], anchors[:, 3] - anchors[:, 1]
    torch.testing.assert_close((width * height).sqrt(), torch.tensor([128.0] * 3 + [256.0] * 3 + [512.0] * 3))
    torch.testing.assert_close(height / width, torch.tensor([0.5, 1.0, 2.0] * 3))
    torch.testing.assert_close((anchors[:, :2] + anchors[:, 2:]) / 2, torch.full((9, 2), 8.0))


def test_each_level_has_its_sizes() -> None:
    shapes = AnchorGenerator(((4.0,), (8.0, 16.0)), (1.0,))
    assert [shapes.num_anchors_per_location(level) for level in (0, 1)] == [1, 2]
    assert shapes.grid_anchors(1, (1, 1), 16, CPU).tolist() == [[4, 4, 12, 12], [0, 0, 16, 16]]


@pytest.mark.parametrize(("row", "column", "anchor"), [(0, 0, 0), (1, 3, 2), (2, 0, 5), (2, 4, 1)])
def test_head_outputs_are_in_anchor_order(row: int, column: int, anchor: int) -> None:
    """One cell's one anchor answers: at its flat index stands the anchor of that cell, side and ratio."""
    sides, ratios, cells, stride = (8.0, 32.0), (0.5, 1.0, 2.0), (3, 5), 16
    shapes = AnchorGenerator((sides,), ratios)
    head = RPNHead(in_channels=1, channels=1, num_anchors=shapes.num_anchors_per_location(0))
    with torch.no_grad():
        head.conv.get_parameter("weight").zero_()[0, 0, 1, 1] = 1.0
        head.objectness.weight.zero_()[anchor] = 1.0
        head.deltas.weight.zero_()[anchor * 4 : anchor * 4 + 4, 0, 0, 0] = torch.arange(1.0, 5)
    features = torch.zeros(2, 1, *cells)
    features[1, 0, row, column] = 1.0
    with torch.no_grad():
        logits, deltas = head(features)
    assert not logits[0].any()
    (flat,) = logits[1].nonzero().flatten().tolist()
    assert deltas[1, flat].tolist() == [1, 2, 3, 4]
    assert int(deltas.count_nonzero()) == 4
    actual = shapes.grid_anchors(0, cells, stride, CPU)[flat]
    assert logits.shape[1] == shapes.num_anchors_per_location(0) * math.prod(cells)
    side, ratio = sides[anchor // 3], ratios[anchor % 3]
    width, height = side / math.sqrt(ratio), side * math.sqrt(ratio)
    x, y = (column + 0.5) * stride, (row + 0.5) * stride
    torch.testing.assert_close(actual, torch.tensor([x - width / 2, y - height / 2, x + width / 2, y + height / 2]))
