from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.ops.nms import _LOOP_THRESHOLD, nms, suppressed_by, suppressed_by_smaller

Box = tuple[float, float, float, float]


def overlap(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def greedy(boxes: list[Box], scores: list[float], threshold: float, groups: list[int]) -> list[int]:
    keep: list[int] = []
    for candidate in sorted(range(len(boxes)), key=lambda index: (-scores[index], index)):
        rivals = [index for index in keep if groups[index] == groups[candidate]]
        if all(overlap(boxes[candidate], boxes[rival]) <= threshold for rival in rivals):
            keep.append(candidate)
    return keep


coordinate = st.integers(0, 20)
side = st.integers(1, 15)
boxes_with = st.lists(
    st.tuples(coordinate, coordinate, side, side, st.sampled_from([0.1, 0.5, 0.9]), st.integers(0, 3)), max_size=12
)


@given(boxes_with, st.sampled_from([0.0, 0.3, 0.45, 0.7, 1.0]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_nms_is_greedy_with_groups_and_ties(
    rows: list[tuple[int, int, int, int, float, int]], threshold: float, grouped: bool
) -> None:
    boxes = [(float(x), float(y), float(x + w), float(y + h)) for x, y, w, h, _, _ in rows]
    scores = [row[4] for row in rows]
    groups = [row[5] if grouped else 0 for row in rows]
    actual = nms(
        torch.tensor(boxes).reshape(-1, 4),
        torch.tensor(scores),
        threshold,
        torch.tensor(groups, dtype=torch.int64) if grouped else None,
    )
    # An IoU within rounding of the threshold may fall either way.
    near = any(abs(overlap(a, b) - threshold) < 1e-6 for a in boxes for b in boxes)
    if not near or threshold in (0.0, 1.0):
        assert actual.tolist() == greedy(boxes, scores, threshold, groups)
    assert actual.dtype == torch.int64


@pytest.mark.parametrize("groups", [1, 5, 300])
def test_many_boxes_equal_nms_of_each_group(groups: int) -> None:
    draw = torch.Generator().manual_seed(groups)
    corners, sides = torch.rand(2500, 2, generator=draw) * 200, 5 + torch.rand(2500, 2, generator=draw) * 60
    boxes, scores = torch.cat([corners, corners + sides], 1), torch.rand(2500, generator=draw).round(decimals=2)
    group_ids = torch.randint(0, groups, (2500,), generator=draw) * 2  # every other group is empty
    keep = nms(boxes, scores, 0.5, group_ids)
    members = [(group_ids == group).nonzero().flatten() for group in group_ids.unique()]
    alone = [each[nms(boxes[each].double(), scores[each], 0.5)] for each in members]
    expected = sorted(torch.cat(alone).tolist(), key=lambda index: (-scores[index].item(), index))
    assert keep.tolist() == expected
    suppressing_boxes = suppressed_by(boxes, scores, 0.5, group_ids)
    assert (suppressing_boxes >= 0).all()
    assert torch.equal((suppressing_boxes == torch.arange(2500)).nonzero().flatten(), keep.sort().values)


NOT_FINITE = (float("nan"), float("inf"), -float("inf"))


@given(
    count=st.sampled_from([0, 1, 7, 300, _LOOP_THRESHOLD - 1, _LOOP_THRESHOLD, _LOOP_THRESHOLD + 1, 2600]),
    lowest=st.sampled_from([-5, -1, 0, 3]),
    num_groups=st.sampled_from([1, 2, 40]),
    spoiled=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 3), st.sampled_from(NOT_FINITE)), max_size=6),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=40, deadline=None)
def test_groups_and_corners_of_all_kinds_are_treated_alike_for_any_number_of_boxes(
    count: int, lowest: int, num_groups: int, spoiled: list[tuple[int, int, float]], seed: int
) -> None:
    """The same as one call for each group, of its finite boxes alone; boxes that are not finite all stay."""
    draw = torch.Generator().manual_seed(seed)
    corners, sides = torch.rand(count, 2, generator=draw) * 200, 5 + torch.rand(count, 2, generator=draw) * 60
    boxes, scores = torch.cat([corners, corners + sides], 1), torch.rand(count, generator=draw).round(decimals=2)
    groups = torch.randint(lowest, lowest + num_groups, (count,), generator=draw)
    for row, column, corner in spoiled if count else []:
        boxes[row % count, column] = corner
    finite = boxes.isfinite().all(1)
    expected = (~finite).nonzero().flatten().tolist()
    for group in groups.unique():
        members = ((groups == group) & finite).nonzero().flatten()
        expected += members[nms(boxes[members].double(), scores[members], 0.4)].tolist()
    expected.sort(key=lambda index: (-scores[index].item(), index))
    assert nms(boxes, scores, 0.4, groups).tolist() == expected
    if count <= 300:
        suppressor = suppressed_by(boxes, scores, 0.4, groups)
        assert (suppressor == torch.arange(count)).nonzero().flatten().tolist() == sorted(expected)


def test_a_box_that_is_not_finite_stays_and_suppresses_nothing() -> None:
    nan, inf = float("nan"), float("inf")
    spoiled = [[0, 0, 10, nan], [nan] * 4, [0, 0, 10, inf], [-inf, -inf, inf, inf], [inf] * 4, [-inf, 0, inf, 10]]
    boxes = torch.tensor([row for row in spoiled for _ in range(2)] + [[0.0, 0, 10, 10], [0, 0, 10, 10]])
    scores = torch.linspace(0.9, 0.1, len(boxes))
    for threshold in (0.0, 0.5):
        assert nms(boxes, scores, threshold).tolist() == list(range(13))
        assert nms(boxes, scores, threshold, torch.arange(14) // 14).tolist() == list(range(13))


def test_far_groups_need_no_memory_of_their_numbers() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10]]).repeat(2 * _LOOP_THRESHOLD, 1)
    groups = torch.tensor([-(2**40), 2**40]).repeat(_LOOP_THRESHOLD)
    assert nms(boxes, torch.ones(len(boxes)), 0.5, groups).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("boxes", "scores", "groups"),
    [((3, 4), 2, None), ((2, 4), 3, None), ((2, 5), 2, None), ((4,), 1, None), ((2, 4), 2, 1), ((2, 4), 2, 3)],
)
def test_other_shapes_are_refused(boxes: tuple[int, ...], scores: int, groups: int | None) -> None:
    """Boxes without a score were ignored, and one group was taken for all boxes."""
    group_ids = None if groups is None else torch.zeros(groups, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"^boxes, scores, groups: expected shapes \(B, 4\), .* found \("):
        nms(torch.zeros(boxes), torch.zeros(scores), 0.5, group_ids)


@pytest.mark.parametrize("groups", [None, torch.zeros(3, dtype=torch.int64)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_boxes_of_half_precision(dtype: torch.dtype, groups: torch.Tensor | None) -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10]], dtype=dtype)
    scores = torch.tensor([0.5, 0.6, 0.7])
    assert nms(boxes, scores, 0.5, groups).tolist() == [2, 1]
    assert suppressed_by(boxes, scores, 0.5, groups).tolist() == [1, 1, 2]


@pytest.mark.parametrize("groups", [None, torch.zeros(0, dtype=torch.int64)])
def test_nms_of_no_boxes(groups: torch.Tensor | None) -> None:
    assert nms(torch.zeros(0, 4), torch.zeros(0), 0.5, groups).tolist() == []


def test_equal_scores_go_to_the_lower_index() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10]]).repeat(40, 1)
    assert nms(boxes, torch.full((40,), 0.5), 0.5).tolist() == [0]
    far = boxes + torch.arange(40)[:, None] * 100
    assert nms(far, torch.full((40,), 0.5), 0.5).tolist() == list(range(40))


def test_groups_are_separated_exactly() -> None:
    """In float32 a group's shift by 90090 pixels would round the second side to 699.992, its IoU to above 0.69999."""
    boxes = torch.tensor([[0.0, 0, 1000, 1000], [0, 0, 1000, 699.989]])
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, 0.69999).tolist() == [0, 1]
    assert nms(boxes, scores, 0.69999, torch.tensor([90, 90])).tolist() == [0, 1]
    assert nms(boxes, scores, 0.69998, torch.tensor([90, 90])).tolist() == [0]


def test_groups_with_negative_coordinates_do_not_overlap() -> None:
    boxes = torch.tensor([[-50.0, -50, 50, 50], [-50, -50, 50, 50], [40, 40, 60, 60]])
    assert nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.1, torch.tensor([0, 1, 2])).tolist() == [0, 1, 2]


def suppressing_boxes(boxes: list[Box], scores: list[float], threshold: float, groups: list[int]) -> list[int]:
    keep = greedy(boxes, scores, threshold, groups)

    return [
        index
        if index in keep
        else next(k for k in keep if groups[k] == groups[index] and overlap(boxes[k], boxes[index]) > threshold)
        for index in range(len(boxes))
    ]


@given(boxes_with, st.sampled_from([0.0, 0.3, 0.45, 0.7, 1.0]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_suppressed_by_is_the_best_suppressing_box(
    rows: list[tuple[int, int, int, int, float, int]], threshold: float, grouped: bool
) -> None:
    boxes = [(float(x), float(y), float(x + w), float(y + h)) for x, y, w, h, _, _ in rows]
    scores = [row[4] for row in rows]
    groups = [row[5] if grouped else 0 for row in rows]
    chosen = torch.tensor(groups, dtype=torch.int64) if grouped else None
    listed = torch.tensor(boxes).reshape(-1, 4)
    actual = suppressed_by(listed, torch.tensor(scores), threshold, chosen)
    keep = nms(listed, torch.tensor(scores), threshold, chosen)
    assert sorted(keep.tolist()) == (actual == torch.arange(len(boxes))).nonzero().flatten().tolist()
    if not any(abs(overlap(a, b) - threshold) < 1e-6 for a in boxes for b in boxes) or threshold in (0.0, 1.0):
        assert actual.tolist() == suppressing_boxes(boxes, scores, threshold, groups)


def test_suppressed_by_agrees_with_nms_at_the_threshold() -> None:
    """Two boxes whose IoU is 1/3 in real numbers: what float32 makes of it decides in both."""
    boxes = torch.tensor([[0.0, 0, 2, 1], [1, 0, 3, 1]])
    for threshold in (1 / 3 - 1e-8, 1 / 3, 1 / 3 + 1e-8):
        keep = nms(boxes, torch.tensor([0.9, 0.8]), threshold)
        assert suppressed_by(boxes, torch.tensor([0.9, 0.8]), threshold).tolist() == [0, 0 if len(keep) == 1 else 1]


def part(a: Box, b: Box) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return max(0.0, width) * max(0.0, height) / smaller


@given(boxes_with, st.sampled_from([0.0, 0.3, 0.45, 0.7, 1.0]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_suppression_by_the_smaller_box_is_greedy(
    rows: list[tuple[int, int, int, int, float, int]], threshold: float, grouped: bool
) -> None:
    boxes = [(float(x), float(y), float(x + w), float(y + h)) for x, y, w, h, _, _ in rows]
    scores, groups = [row[4] for row in rows], [row[5] if grouped else 0 for row in rows]
    suppressor = suppressed_by_smaller(
        torch.tensor(boxes).reshape(-1, 4), torch.tensor(scores), threshold, torch.tensor(groups) if grouped else None
    ).tolist()
    if any(abs(part(a, b) - threshold) < 1e-6 for a in boxes for b in boxes) and threshold not in (0.0, 1.0):
        return
    keep: list[int] = []
    for candidate in sorted(range(len(boxes)), key=lambda index: (-scores[index], index)):
        rivals = [i for i in keep if groups[i] == groups[candidate] and part(boxes[i], boxes[candidate]) > threshold]
        assert suppressor[candidate] == (rivals[0] if rivals else candidate)
        keep += [] if rivals else [candidate]
