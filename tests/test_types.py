from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from detect.types import Detections, Images, Proposals, Samples, Targets

F, L, B = torch.float32, torch.int64, torch.bool


def zeros(*shape: int, dtype: torch.dtype = F) -> torch.Tensor:
    return torch.zeros(shape, dtype=dtype)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_records_accept_any_number_of_boxes(count: int) -> None:
    boxes, scores, labels, flags = zeros(count, 4), zeros(count), zeros(count, dtype=L), zeros(count, dtype=B)
    records = (
        Proposals(boxes, scores),
        Proposals(boxes.double(), scores.half(), labels),
        Targets(boxes, labels, flags, flags),
        Targets(boxes, labels, flags, flags, zeros(count, 5, 6, dtype=B)),
        Detections(boxes, scores, labels, masks=zeros(count, 7, 7)),
        Samples(boxes, labels, boxes, labels),
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
        (lambda: Proposals(zeros(2, 4), zeros(2), zeros(2)), "Proposals.source_index: expected torch.int64"),
        (lambda: Images(zeros(2, 3, 4, 4), ((4, 4),), (0,)), "Images.pixels: expected shape"),
        (lambda: Images(zeros(1, 1, 4, 4), ((4, 4),), (0,)), "Images.pixels: expected shape"),
        (lambda: Images(zeros(1, 3, 4, 4), ((4, 4),), ()), "Images.seeds: expected 1, found 0"),
        (
            lambda: Images(zeros(1, 3, 4, 4), ((4, 4),), (0,), ()),
            "Images.proposals: expected 1, found 0",
        ),
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
        (
            lambda: Samples(zeros(1, 4), zeros(1, dtype=L), zeros(2, 4), zeros(1, dtype=L)),
            "Samples.matched_boxes: expected shape",
        ),
        (
            lambda: Targets(
                zeros(1, 4), zeros(1, dtype=L), zeros(1, dtype=B), zeros(1, dtype=B), zeros(2, 5, 6, dtype=B)
            ),
            "Targets.masks: expected shape",
        ),
        (
            lambda: Targets(zeros(1, 4), zeros(1, dtype=L), zeros(1, dtype=B), zeros(1, dtype=B), zeros(1, 5, 6)),
            "Targets.masks: expected torch.bool",
        ),
        (
            lambda: Detections(zeros(1, 4), zeros(1), zeros(1, dtype=L), masks=zeros(1, 7, 8)),
            "Detections.masks: expected shape",
        ),
        (
            lambda: Detections(zeros(1, 4), zeros(1), zeros(1, dtype=L), masks=zeros(1, 7, 7).double()),
            "Detections.masks: expected torch.float32",
        ),
        (lambda: Detections(zeros(1, 4), zeros(1), zeros(1)), "Detections.labels: expected torch.int64"),
        (lambda: Detections(zeros(1, 4), zeros(1), zeros(1, dtype=L), zeros(2, dtype=L)), "Detections.proposal_index"),
    ],
)
def test_records_with_wrong_shape_or_dtype_raise_value_error(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_records_do_not_read_values() -> None:
    backwards = torch.tensor([[5.0, 5, 1, float("nan")]], device="meta")
    assert len(Proposals(backwards, backwards[:, 0])) == 1


def detections(source: torch.Tensor | None = None) -> Detections:
    boxes = torch.arange(12.0).view(3, 4)
    return Detections(boxes, torch.tensor([0.9, 0.5, 0.1]), torch.tensor([2, 1, 2]), source, ("cat", "dog"))


@pytest.mark.parametrize(("score", "indices"), [(1.0, []), (0.5, [0, 1]), (0.0, [0, 1, 2])])
def test_above_keeps_a_score_equal_to_the_threshold(score: float, indices: list[int]) -> None:
    selected = detections(torch.tensor([7, 8, 9])).above(score)
    assert selected.boxes[:, 0].tolist() == [4.0 * index for index in indices]
    assert selected.proposal_index is not None
    assert selected.proposal_index.tolist() == [7 + index for index in indices]
    assert selected.names() == [["dog", "cat", "dog"][index] for index in indices]


def test_select_by_index_keeps_the_order_of_the_index() -> None:
    selected = detections().select(torch.tensor([2, 0]))
    assert torch.equal(selected.scores, torch.tensor([0.1, 0.9]))
    assert selected.proposal_index is None


def test_detections_are_a_sequence_whose_labels_count_from_1() -> None:
    best, *others = detections()
    assert best == detections()[0] == detections()[-3] == detections()[np.int64(0)]
    assert (best.box, best.label, best.name) == ((0.0, 1.0, 2.0, 3.0), 2, "dog")
    assert best.score == pytest.approx(0.9)
    assert str(best) == "dog 0.90 at 0.0 1.0 2.0 3.0"
    assert [other.name for other in others] == ["cat", "dog"]
    for part in (detections()[1:], detections()[[1, 2]], detections()[detections().scores < 0.8]):
        assert isinstance(part, Detections)
        assert part == detections().select(torch.tensor([1, 2]))
    with pytest.raises(IndexError, match="expected an index below 3"):
        detections()[3]
    assert list(detections().above(1.0)) == []


def test_detections_are_equal_if_all_fields_are() -> None:
    assert detections() == detections()
    for other in (detections(torch.tensor([0, 1, 2])), detections().above(0.5), replace(detections(), classes=()), 3):
        assert detections() != other
    masks = torch.ones(3, 2, 2)
    assert replace(detections(), masks=masks) == replace(detections(), masks=masks.clone())
    assert replace(detections(), masks=masks) != detections()


def test_repr_of_detections_counts_them() -> None:
    assert repr(detections()) == "Detections(3: dog 0.90, cat 0.50, dog 0.10)"
    assert repr(detections().above(1.0)) == "Detections(0)"
    many = Detections(zeros(9, 4), zeros(9), torch.ones(9, dtype=L), masks=zeros(9, 2, 2))
    assert repr(many).endswith("label 1 0.00, 4 more, with masks)")


def test_masks_follow_their_detections_and_targets() -> None:
    masks = torch.arange(12.0).view(3, 2, 2)
    selected = replace(detections(), masks=masks).above(0.5)
    assert selected.masks is not None
    assert torch.equal(selected.masks, masks[:2])
    flags = zeros(3, dtype=B)
    targets = Targets(zeros(3, 4), zeros(3, dtype=L), flags, flags, masks.bool()).to(torch.device("meta"))
    assert targets.masks is not None
    assert targets.masks.is_meta
