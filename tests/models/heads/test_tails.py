from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from detect.models.heads.tails import CHUNK_SIZE, run_in_chunks


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
