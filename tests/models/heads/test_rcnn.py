"""The head of R-CNN: margins become scores, region maps become deltas."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from detect.models.heads.rcnn import RCNNHead, RegressorInput, set_svms
from detect.models.postprocess import Postprocess, logistic, softmax
from detect.types import Proposals

CLASSES, CHANNELS, BINS, FEATURES = 3, 2, 3, 5
LENGTHS: dict[RegressorInput, int] = {"map": CHANNELS * BINS * BINS, "vector": FEATURES}


def head(regress_from: RegressorInput) -> RCNNHead:
    torch.manual_seed(0)
    tail = nn.Sequential(nn.Flatten(), nn.Linear(CHANNELS * BINS * BINS, FEATURES), nn.ReLU())
    return RCNNHead(tail, FEATURES, LENGTHS[regress_from], CLASSES, regress_from)


def fitted(regress_from: RegressorInput) -> tuple[RCNNHead, dict[str, torch.Tensor]]:
    rcnn_head, generator = head(regress_from), torch.Generator().manual_seed(1)
    shapes = {
        "w": (CLASSES, FEATURES),
        "b": (CLASSES,),
        "rw": (CLASSES, 4, LENGTHS[regress_from]),
        "rb": (CLASSES, 4),
    }
    parts = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    set_svms(rcnn_head.logits, parts["w"], parts["b"])
    rcnn_head.set_regressors(parts["rw"], parts["rb"])
    return rcnn_head, parts


@pytest.mark.parametrize("regress_from", ["map", "vector"])
@pytest.mark.parametrize("count", [0, 1, 4])
def test_logits_are_margins_and_deltas_are_linear(regress_from: RegressorInput, count: int) -> None:
    rcnn_head, parts = fitted(regress_from)
    regional = torch.randn(count, CHANNELS, BINS, BINS)
    vectors = rcnn_head.tail(regional)
    read = regional.flatten(1) if regress_from == "map" else vectors
    logits, deltas = rcnn_head(regional)
    assert torch.equal(logits[:, 0], torch.zeros(count))
    torch.testing.assert_close(logits[:, 1:], vectors @ parts["w"].T + parts["b"])
    torch.testing.assert_close(deltas, torch.einsum("sf,kdf->skd", read, parts["rw"]) + parts["rb"])


def test_unfitted_head_is_a_softmax_without_deltas() -> None:
    rcnn_head = head("map")
    regional = torch.randn(2, CHANNELS, BINS, BINS)
    logits, deltas = rcnn_head(regional)
    assert torch.equal(logits, rcnn_head.logits(rcnn_head.tail(regional)))
    assert not deltas.any()


def test_state_dict_has_all_parts() -> None:
    rcnn_head, _ = fitted("map")
    other = head("map")
    other.load_state_dict(rcnn_head.state_dict())
    regional = torch.randn(2, CHANNELS, BINS, BINS)
    assert all(torch.equal(tensor, two) for tensor, two in zip(rcnn_head(regional), other(regional), strict=True))
    assert {name for name, parameter in rcnn_head.named_parameters() if not parameter.requires_grad} == {
        "deltas.weight",
        "deltas.bias",
    }


def test_the_score_is_the_logistic_of_the_margin() -> None:
    margins = torch.tensor([[-3.0, 0.0, 2.0], [12.0, -1.0001, 0.5]])
    logits = torch.cat([torch.zeros(2, 1), margins], 1)
    expected = 1 / (1 + (-margins).exp())
    torch.testing.assert_close(logistic(logits), expected)
    torch.testing.assert_close(logistic(logits + 7), expected)  # a probability against the background
    assert logistic(torch.zeros(0, 4)).shape == softmax(torch.zeros(0, 4)).shape == (0, 3)


def test_logistic_scores_allow_several_classes() -> None:
    proposals = Proposals(torch.tensor([[0.0, 0, 10, 10]]), torch.zeros(1))
    actual = Postprocess(score_fn=logistic)(proposals, torch.tensor([[0.0, 3.0, 2.0]]), torch.zeros(1, 2, 4), (20, 20))
    assert actual.labels.tolist() == [1, 2]
    assert actual.scores.tolist() == pytest.approx([0.952574, 0.880797])
