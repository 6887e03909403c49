from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from detect.models.heads.tails import ROWS, vectors_of


class Noting(nn.Module):
    """Keeps how many regions it was given at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def forward(self, regional: Tensor) -> Tensor:
        self.seen.append(len(regional))
        return regional.flatten(1).cumsum(1)


@pytest.mark.parametrize(
    ("count", "pieces"),
    [(0, [0]), (1, [1]), (ROWS, [ROWS]), (ROWS + 1, [ROWS, 1]), (600, [ROWS, ROWS, 600 - 2 * ROWS])],
)
def test_many_regions_go_in_pieces_where_no_gradients_are_wanted(count: int, pieces: list[int]) -> None:
    regional = torch.randn(count, 2, 3, 3)
    whole, parts, learning = Noting(), Noting().eval(), Noting().eval()
    with torch.no_grad():
        assert torch.equal(vectors_of(parts, regional), vectors_of(whole.train(), regional))
    vectors_of(learning, regional)
    assert parts.seen == pieces
    assert whole.seen == learning.seen == [count]
