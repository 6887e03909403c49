from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.ops import boxes as ops

Box = tuple[float, float, float, float]
Stds = tuple[float, float, float, float]
ONES: Stds = (1.0, 1.0, 1.0, 1.0)

pixels = st.integers(0, 12)


@st.composite
def box(draw: st.DrawFn) -> Box:
    x1, y1 = draw(pixels), draw(pixels)
    return x1, y1, x1 + draw(pixels), y1 + draw(pixels)


def tensor(rows: list[Box]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 4)


def cells(corners: Box) -> set[tuple[int, int]]:
    """The unit squares in a box with whole-numbered corners."""
    x1, y1, x2, y2 = map(int, corners)
    return {(x, y) for x in range(x1, x2) for y in range(y1, y2)}


@given(st.lists(box(), max_size=4), st.lists(box(), max_size=4))
@settings(max_examples=40, deadline=None)
def test_overlaps_count_unit_squares(left: list[Box], right: list[Box]) -> None:
    a, b = tensor(left), tensor(right)
    pairs = [[(cells(sample), cells(other)) for other in right] for sample in left]
    shape = (len(left), len(right))
    shared = torch.tensor([[len(p & q) for p, q in row] for row in pairs], dtype=torch.float64).reshape(shape)
    either = torch.tensor([[len(p | q) for p, q in row] for row in pairs], dtype=torch.float64).reshape(shape)
    torch.testing.assert_close(ops.areas(a), torch.tensor([float(len(cells(sample))) for sample in left]).double())
    torch.testing.assert_close(ops.intersections(a, b), shared)
    torch.testing.assert_close(ops.iou(a, b), shared / either.clamp(min=1))
    torch.testing.assert_close(ops.ioa(a, b), shared / ops.areas(a)[:, None].clamp(min=1))


@pytest.mark.parametrize(
    ("a", "b", "iou"),
    [
        ((0, 0, 0, 0), (0, 0, 0, 0), 0.0),
        ((0, 0, 10, 10), (10, 0, 20, 10), 0.0),  # touching is not overlapping
        ((0, 0, 10, 10), (5, 5, 5, 9), 0.0),
        ((0, 0, 10, 10), (0, 0, 10, 10), 1.0),
        ((0, 0, 10, 10), (5, 0, 15, 10), 1 / 3),
        ((0.25, 0, 0.75, 1), (0, 0, 1, 1), 0.5),
    ],
)
def test_iou_by_hand(a: Box, b: Box, iou: float) -> None:
    actual = ops.iou(tensor([a]).float(), tensor([b]).float())
    assert actual.tolist() == [[pytest.approx(iou)]]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], []),
        ([(-5, -5, 50, 40)], [(0, 0, 30, 20)]),
        ([(1, 2, 30, 20)], [(1, 2, 30, 20)]),
        ([(-9, -9, -1, -1), (31, 21, 99, 99)], [(0, 0, 0, 0), (30, 20, 30, 20)]),
    ],
)
def test_clip_cuts_to_height_and_width(before: list[Box], after: list[Box]) -> None:
    assert torch.equal(ops.clip(tensor(before), (20, 30)), tensor(after))


def test_clip_accepts_more_dimensions() -> None:
    boxes = torch.tensor([[[-1.0, 0, 5, 5], [0, 0, 99, 99]]])
    assert ops.clip(boxes, (20, 30)).tolist() == [[[0, 0, 5, 5], [0, 0, 30, 20]]]


@pytest.mark.parametrize(("side", "expected"), [(0.0, [True, False, False, True]), (2.0, [False, False, False, True])])
def test_is_not_empty_needs_both_sides_longer(side: float, expected: list[bool]) -> None:
    boxes = tensor([(0, 0, 2, 2), (3, 3, 3, 9), (5, 5, 4, 9), (0, 0, 3, 2.5)])
    assert ops.is_not_empty(boxes, side).tolist() == expected
    assert ops.is_not_empty(boxes[:0], side).shape == (0,)
    assert not ops.is_not_empty(boxes * math.nan).any()


@given(st.lists(box(), max_size=4), st.integers(1, 50))
@settings(max_examples=20, deadline=None)
def test_hflip_mirrors_and_two_flips_cancel(rows: list[Box], width: int) -> None:
    boxes = tensor(rows)
    once = ops.hflip(boxes, width)
    assert [cells(row) for row in map(tuple, (once + 50).tolist())] == [
        {(width - 1 - x + 50, y + 50) for x, y in cells(row)} for row in rows
    ]
    assert torch.equal(ops.hflip(once, width), boxes)


corner = st.floats(-300, 300)
side = st.floats(1, 500)
solid = st.tuples(corner, corner, side, side).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


@given(st.lists(st.tuples(solid, solid), max_size=5), st.tuples(*[st.floats(0.05, 2)] * 4))
@settings(max_examples=40, deadline=None)
def test_decode_inverts_encode(pairs: list[tuple[Box, Box]], stds: Stds) -> None:
    boxes, references = tensor([pair[0] for pair in pairs]), tensor([pair[1] for pair in pairs])
    ratio = (boxes[:, 2:] - boxes[:, :2]) / (references[:, 2:] - references[:, :2])
    within = (ratio < ops.MAX_SCALE).all(1)
    boxes, references = boxes[within], references[within]
    decoded = ops.decode(ops.encode(boxes, references, stds), references, stds)
    torch.testing.assert_close(decoded, boxes, atol=1e-6, rtol=1e-6)


def test_deltas_by_hand() -> None:
    reference, target = tensor([(0, 0, 10, 20)]), tensor([(5, 5, 25, 15)])
    expected = tensor([(10 / 10, 0 / 20, math.log(2), math.log(0.5))])
    torch.testing.assert_close(ops.encode(target, reference, ONES), expected)
    torch.testing.assert_close(
        ops.encode(target, reference, (0.1, 0.1, 0.2, 0.2)), expected / tensor([(0.1, 0.1, 0.2, 0.2)])
    )


def test_decode_accepts_deltas_of_each_class_and_no_boxes() -> None:
    references = tensor([(0, 0, 10, 10), (10, 10, 30, 50)])
    deltas = torch.zeros(2, 3, 4, dtype=torch.float64)
    deltas[1, 2, 0] = 0.5
    boxes = ops.decode(deltas, references, ONES)
    assert torch.equal(boxes[:, 0], references)
    assert boxes[1, 2].tolist() == [20, 10, 40, 50]
    assert ops.decode(deltas[:0], references[:0], ONES).shape == (0, 3, 4)


def test_large_size_delta_stays_finite() -> None:
    boxes = ops.decode(tensor([(0, 0, 1e6, 1e6)]), tensor([(0, 0, 16, 16)]), ONES)
    torch.testing.assert_close(boxes, tensor([(-492, -492, 508, 508)]))


@pytest.mark.parametrize(("growth", "sides"), [(62.5, (625, 20)), (3.0, (30, 20)), (None, (10 * math.e**5, 20))])
def test_max_scale_limits_the_side(growth: float | None, sides: tuple[float, float]) -> None:
    decoded = ops.decode(tensor([(0, 0, 5, 0)]), tensor([(0, 0, 10, 20)]), ONES, growth)
    assert (decoded[0, 2:] - decoded[0, :2]).tolist() == pytest.approx(sides)
