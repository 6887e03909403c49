from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from detect.models.heads.low_rank import replace_linears, truncated_svd
from detect.models.heads.softmax import SoftmaxHead
from detect.models.heads.spatial_transformer import SpatialTransformer
from detect.models.heads.tails import CHUNK_SIZE, ConvFC, TwoLayerFC, classifier_features, run_in_chunks, split_tail


class RecordingTail(nn.Module):
    """Keeps how many regions it was given at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def forward(self, regional: Tensor) -> Tensor:
        self.seen.append(len(regional))
        return regional.flatten(1).cumsum(1)


@pytest.mark.parametrize(
    ("count", "pieces"),
    [
        (0, [0]),
        (1, [1]),
        (CHUNK_SIZE, [CHUNK_SIZE]),
        (CHUNK_SIZE + 1, [CHUNK_SIZE, 1]),
        (600, [CHUNK_SIZE, CHUNK_SIZE, 600 - 2 * CHUNK_SIZE]),
    ],
)
def test_tail_runs_in_chunks_without_gradients(count: int, pieces: list[int]) -> None:
    regional = torch.randn(count, 2, 3, 3)
    network, parts, learning = RecordingTail(), RecordingTail().eval(), RecordingTail().eval()
    with torch.no_grad():
        assert torch.equal(run_in_chunks(parts, regional), run_in_chunks(network.train(), regional))
    run_in_chunks(learning, regional)
    assert parts.seen == pieces
    assert network.seen == learning.seen == [count]


def two_fc() -> nn.Module:
    return TwoLayerFC(2, 3, 4)


def with_dropout() -> nn.Module:
    inner = nn.Sequential(nn.Linear(18, 5), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(5, 4), nn.ReLU(inplace=True))
    return nn.Sequential(nn.Sequential(nn.Flatten(), nn.Dropout()), inner)


def transformed() -> nn.Module:
    return nn.Sequential(SpatialTransformer(2, 3), ConvFC(2, 3, 1, 4, None))


def compressed() -> nn.Module:
    tail = two_fc()
    replace_linears(tail, (3,), truncated_svd)
    return tail


@pytest.mark.parametrize(
    ("make_tail", "lengths"),
    [
        (two_fc, {"map": 18, "fc1": 4, "fc2": 4}),
        (with_dropout, {"map": 18, "fc1": 5, "fc2": 4}),
        (transformed, {"map": 18, "fc1": 4}),
        (compressed, {"map": 18, "fc1": 4, "fc2": 4}),
    ],
)
@pytest.mark.parametrize("count", [0, CHUNK_SIZE + 1])
def test_split_tail_is_the_tail_in_two_parts(
    make_tail: Callable[[], nn.Module], lengths: dict[str, int], count: int
) -> None:
    tail, regional = make_tail().eval(), torch.randn(count, 2, 3, 3)
    with torch.no_grad():
        for name, length in lengths.items():
            below, above = split_tail(tail, name)
            features = classifier_features(tail, regional, name)
            assert features.shape == (count, length)
            torch.testing.assert_close(features, below(regional).flatten(1))
            torch.testing.assert_close(above(below(regional)), tail(regional))
            assert name == "map" or (features >= 0).all()  # after the activation
        assert torch.equal(classifier_features(tail, regional, "map"), regional.flatten(1))
        last = list(lengths)[-1]
        torch.testing.assert_close(classifier_features(tail, regional, last), tail(regional))
        assert torch.equal(classifier_features(tail, regional, None), run_in_chunks(tail, regional))


@pytest.mark.parametrize(
    ("tail", "features", "message"),
    [
        (nn.Sequential(nn.Conv2d(2, 3, 1), nn.Flatten()), "fc1", "expected null for a tail without fully connected"),
        (two_fc(), "fc6", "expected one of map, fc1, fc2 for 2 fully connected layers, found fc6"),
        (two_fc(), "", "found "),
    ],
)
def test_split_tail_at_unknown_features_is_refused(tail: nn.Module, features: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_tail(tail, features)


@pytest.mark.parametrize("features", [None, "map", "fc1", "fc2"])
def test_softmax_head_with_svms_on_lower_features_has_the_same_deltas(features: str | None) -> None:
    tail, regional = with_dropout(), torch.randn(3, 2, 3, 3)
    length = None if features is None else {"map": 18, "fc1": 5, "fc2": 4}[features]
    head, plain = SoftmaxHead(tail, 4, 2, features, length).eval(), SoftmaxHead(tail, 4, 2).eval()
    plain.deltas = head.deltas
    logits, deltas = head(regional)
    torch.testing.assert_close(deltas, plain(regional)[1])
    torch.testing.assert_close(logits, head.logits(classifier_features(tail, regional, features)))
