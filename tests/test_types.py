from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from detect.types import Detections, Images, Proposals, Samples, Targets

F, L, B = torch.float32, torch.int64, torch.bool


def zeros(*shape: int, dtype: torch.dtype = F) -> torch.Tensor:
    return torch.zeros(shape, dtype=dtype)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_every_record_holds_any_number_of_boxes(count: int) -> None:
    boxes, scores, labels, flags = zeros(count, 4), zeros(count), zeros(count, dtype=L), zeros(count, dtype=B)
    records = (
        Proposals(boxes, scores),
        Proposals(boxes.double(), scores.half(), labels),
        Targets(boxes, labels, flags, flags),
        Samples(boxes, labels, boxes),
        Detections(boxes, scores, labels),
        Images(zeros(count, 3, 2, 5), ((2, 5),) * count, (0,) * count),
    )
    assert [len(record) for record in records] == [count] * len(records)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Proposals(zeros(4), zeros(1)), "Proposals.boxes: expected shape"),
        (lambda: Proposals(zeros(2, 5), zeros(2)), "Proposals.boxes: expected shape"),
        (lambda: Proposals(zeros(2, 4, dtype=L), zeros(2)), "Proposals.boxes: expected floats, found torch.int64"),
        (lambda: Proposals(zeros(2, 4), zeros(3)), r"Proposals.scores: expected shape \(2,\), found \(3,\)"),
        (lambda: Proposals(zeros(2, 4), zeros(2), zeros(2)), "Proposals.source: expected torch.int64"),
        (lambda: Images(zeros(2, 3, 4, 4), ((4, 4),), (0,)), "Images.pixels: expected shape"),
        (lambda: Images(zeros(1, 1, 4, 4), ((4, 4),), (0,)), "Images.pixels: expected shape"),
        (lambda: Images(zeros(1, 3, 4, 4), ((4, 4),), ()), "Images.keys: expected 1, found 0"),
        (lambda: Images(zeros(1, 3, 4, 4), ((4, 4),), (0,), ()), "Images.given: expected 1 sets of proposals, found 0"),
        (
            lambda: Targets(zeros(1, 4), zeros(1), zeros(1, dtype=B), zeros(1, dtype=B)),
            "Targets.labels: expected torch.int64, found torch.float32",
        ),
        (
            lambda: Targets(zeros(1, 4), zeros(1, dtype=L), zeros(1, dtype=L), zeros(1, dtype=B)),
            "Targets.difficult: expected torch.bool",
        ),
        (
            lambda: Targets(zeros(1, 4), zeros(1, dtype=L), zeros(1, dtype=B), zeros(2, dtype=B)),
            "Targets.crowd: expected shape",
        ),
        (lambda: Samples(zeros(1, 4), zeros(1, dtype=L), zeros(2, 4)), "Samples.matched: expected shape"),
        (lambda: Detections(zeros(1, 4), zeros(1), zeros(1)), "Detections.labels: expected torch.int64"),
        (lambda: Detections(zeros(1, 4), zeros(1), zeros(1, dtype=L), zeros(2, dtype=L)), "Detections.source"),
    ],
)
def test_a_record_of_the_wrong_shape_or_type_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_values_are_not_looked_at() -> None:
    backwards = torch.tensor([[5.0, 5, 1, float("nan")]], device="meta")
    assert len(Proposals(backwards, backwards[:, 0])) == 1


def detections(source: torch.Tensor | None = None) -> Detections:
    boxes = torch.arange(12.0).view(3, 4)
    return Detections(boxes, torch.tensor([0.9, 0.5, 0.1]), torch.tensor([2, 1, 2]), source, ("cat", "dog"))


@pytest.mark.parametrize(("score", "kept"), [(1.0, []), (0.5, [0, 1]), (0.0, [0, 1, 2])])
def test_above_keeps_a_score_equal_to_the_limit(score: float, kept: list[int]) -> None:
    some = detections(torch.tensor([7, 8, 9])).above(score)
    assert some.boxes[:, 0].tolist() == [4.0 * place for place in kept]
    assert some.source is not None
    assert some.source.tolist() == [7 + place for place in kept]
    assert some.names() == [["dog", "cat", "dog"][place] for place in kept]


def test_select_by_index_keeps_the_order_asked_for() -> None:
    some = detections().select(torch.tensor([2, 0]))
    assert torch.equal(some.scores, torch.tensor([0.1, 0.9]))
    assert some.source is None
