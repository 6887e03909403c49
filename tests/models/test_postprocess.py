from __future__ import annotations

import pytest
import torch

from detect.models.postprocess import Postprocess, top_of_each_class
from detect.types import Detections, Proposals

SIZE = (100, 200)
BOXES = [(0.0, 0, 20, 20), (0, 0, 20, 18), (50, 50, 80, 80), (190, 90, 230, 130)]


def detect(
    postprocess: Postprocess,
    probabilities: list[list[float]],
    deltas: torch.Tensor | None = None,
    boxes: object = BOXES,
) -> Detections:
    """Probabilities (P, K + 1) with the background first; proposals are BOXES."""
    scores = torch.tensor(probabilities)
    listed = torch.tensor(boxes)[: len(scores)].reshape(-1, 4)
    classes = scores.shape[1] - 1
    deltas = torch.zeros(len(scores), classes, 4) if deltas is None else deltas
    return postprocess(Proposals(listed, torch.zeros(len(listed))), scores.log(), deltas, SIZE)


def test_no_proposals_give_no_detections() -> None:
    detections = Postprocess(classes=("a", "b"))(
        Proposals(torch.zeros(0, 4), torch.zeros(0)), torch.zeros(0, 3), torch.zeros(0, 2, 4), SIZE
    )
    assert len(detections) == 0
    assert detections.names() == []
    assert detections.proposal_index is not None


@pytest.mark.parametrize(
    ("postprocess", "probabilities", "expected"),
    [
        pytest.param(Postprocess(), [[1.0, 0, 0]] * 2, [], id="background alone is no detection"),
        pytest.param(
            Postprocess(score_threshold=0.25),
            [[0.5, 0.25, 0.25], [0.8, 0.2, 0]],
            [(0, 1), (0, 2)],
            id="a score at the limit stays",
        ),
        pytest.param(
            Postprocess(), [[0.1, 0.8, 0.1], [0.1, 0.9, 0]], [(1, 1), (0, 2)], id="the better of a class suppresses"
        ),
        pytest.param(
            Postprocess(), [[0.1, 0.8, 0.02], [0.1, 0, 0.9]], [(1, 2), (0, 1)], id="classes do not suppress each other"
        ),
        pytest.param(
            Postprocess(nms_iou=0.95), [[0.1, 0.8, 0], [0.1, 0.9, 0]], [(1, 1), (0, 1)], id="another NMS limit"
        ),
        pytest.param(
            Postprocess(max_detections=2),
            [[0.1, 0.7, 0.2], [1, 0, 0], [0.1, 0.1, 0.8]],
            [(2, 2), (0, 1)],
            id="the best of all classes up to the limit",
        ),
    ],
)
def test_detections_after_threshold_and_nms(
    postprocess: Postprocess, probabilities: list[list[float]], expected: list[tuple[int, int]]
) -> None:
    detections = detect(postprocess, probabilities)
    assert detections.proposal_index is not None
    assert list(zip(detections.proposal_index.tolist(), detections.labels.tolist(), strict=True)) == expected
    scores = [probabilities[proposal][label] / sum(probabilities[proposal]) for proposal, label in expected]
    assert detections.scores.tolist() == pytest.approx(scores)
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("top_n", [1, 2, 3, 100])
@pytest.mark.parametrize("count", [0, 1, 40])
def test_top_of_each_class_equals_a_loop_over_classes(count: int, top_n: int) -> None:
    generator = torch.Generator().manual_seed(count)
    scores = torch.randint(0, 9, (count,), generator=generator) / 9  # with ties
    labels = torch.randint(1, 5, (count,), generator=generator)
    expected: list[int] = []
    for label in range(5):
        members = [index for index in range(count) if labels[index] == label]
        expected += sorted(members, key=lambda index: (-float(scores[index]), index))[:top_n]
    assert top_of_each_class(scores, labels, top_n).tolist() == sorted(expected)


@pytest.mark.parametrize(("top_n", "expected"), [(None, [(3, 1), (2, 1), (0, 2)]), (1, [(3, 1), (0, 2)])])
def test_best_of_each_class_alone_enter_the_suppression(top_n: int | None, expected: list[tuple[int, int]]) -> None:
    probabilities = [[0.1, 0.3, 0.6], [0.1, 0.5, 0.4], [0.1, 0.7, 0.2], [0.1, 0.8, 0.1]]
    detections = detect(Postprocess(pre_nms_top_n_per_class=top_n), probabilities)
    assert detections.proposal_index is not None
    pairs = list(zip(detections.proposal_index.tolist(), detections.labels.tolist(), strict=True))
    assert [pair for pair in pairs if pair in expected] == expected
    assert (len(pairs) == 2) == (top_n == 1)


def test_deltas_are_applied_by_class() -> None:
    deltas = torch.zeros(1, 2, 4)
    deltas[0, 0, 0] = 10.0  # of the first class: a whole width to the right, as stds divide by ten
    detections = detect(Postprocess(classes=("a", "b")), [[0.2, 0.5, 0.3]], deltas)
    assert detections.names() == ["a", "b"]
    torch.testing.assert_close(detections.boxes, torch.tensor([[20.0, 0, 40, 20], [0, 0, 20, 20]]))


def test_class_agnostic_deltas_are_applied_to_every_class() -> None:
    deltas = torch.zeros(1, 1, 4)
    deltas[0, 0, 1] = 10.0
    detections = detect(Postprocess(), [[0.2, 0.5, 0.3]], deltas)
    assert detections.labels.tolist() == [1, 2]
    torch.testing.assert_close(detections.boxes, torch.tensor([[0.0, 20, 20, 40]] * 2))


def test_boxes_are_clipped_to_the_image_and_dropped_outside() -> None:
    boxes = [(190.0, 90, 230, 130), (210, 10, 230, 30), (0, 0, 0, 50)]
    detections = detect(Postprocess(nms_iou=1.0), [[0.1, 0.9]] * 3, boxes=boxes)
    assert detections.boxes.tolist() == [[190, 90, 200, 100]]


def test_nan_deltas_give_no_detection() -> None:
    deltas = torch.full((1, 1, 4), float("nan"))
    assert len(detect(Postprocess(), [[0.1, 0.9]], deltas)) == 0


@pytest.mark.parametrize(("regress", "right"), [(True, 25.0), (False, 20.0)])
def test_proposals_stay_without_apply_deltas(regress: bool, right: float) -> None:
    deltas = torch.tensor([[[2.5, 0.0, 0, 0]]])  # a quarter of its width to the right
    detections = detect(Postprocess(apply_deltas=regress), [[0.1, 0.9]], deltas)
    assert detections.boxes[0].tolist() == [right - 20, 0, right, 20]


@pytest.mark.parametrize(("min_side", "left"), [(0.0, [1, 2]), (5.0, [1, 2]), (19.0, [2]), (100.0, [])])
def test_small_detections_are_dropped(min_side: float, left: list[int]) -> None:
    boxes = [(0.0, 0, 30, 19), (50, 50, 80, 80), (10, 10, 10, 30)]
    detections = detect(
        Postprocess(min_size=min_side), [[0.1, 0.8, 0.1 - 0.09], [0.1, 0.01, 0.7], [0.1, 0.9, 0]], boxes=boxes
    )
    assert detections.labels.tolist() == left


@pytest.mark.parametrize(("growth", "width"), [(62.5, 20 * 7.389056), (2.0, 40.0), (None, 20 * 7.389056)])
def test_max_scale_limits_detections(growth: float | None, width: float) -> None:
    postprocess = Postprocess(delta_stds=(1.0, 1.0, 1.0, 1.0), max_scale=growth)
    deltas = torch.tensor([[[4.0, 0, 2, 0]]])
    (box,) = detect(postprocess, [[0.0, 1]], deltas).boxes.tolist()
    assert box[2] - box[0] == pytest.approx(width, rel=1e-5)
