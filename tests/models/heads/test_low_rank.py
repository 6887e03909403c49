from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from detect.models.heads.low_rank import LowRankLinear, empty_like, linear_layers, replace_linears, truncated_svd


def tail(*widths: int) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), *(layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())))


@pytest.mark.parametrize("bias", [True, False])
def test_full_rank_changes_nothing(bias: bool) -> None:
    torch.manual_seed(0)
    layer, vectors = nn.Linear(7, 5, bias=bias), torch.randn(3, 7)
    assert torch.allclose(truncated_svd(layer, 5)(vectors), layer(vectors), atol=1e-6)


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_error_equals_the_dropped_singular_values(rank: int) -> None:
    torch.manual_seed(1)
    layer = nn.Linear(9, 6)
    thin = truncated_svd(layer, rank)
    error = torch.linalg.matrix_norm(thin.outer.weight @ thin.inner.weight - layer.weight).detach()
    left_out = torch.linalg.svdvals(layer.weight)[rank:].square().sum().sqrt().detach()
    assert float(error) == pytest.approx(float(left_out), rel=1e-5)


@pytest.mark.parametrize(("ranks", "thin"), [((), [False, False]), ((3,), [True, False]), ((3, 2), [True, True])])
def test_the_first_layers_are_replaced(ranks: tuple[int, ...], thin: list[bool]) -> None:
    part = tail(8, 6, 4)
    replace_linears(part, ranks, empty_like)
    actual = [isinstance(part[index], LowRankLinear) for index in (1, 3)]
    assert actual == thin
    assert part(torch.zeros(0, 8)).shape == (0, 4)


@pytest.mark.parametrize(
    ("ranks", "message"),
    [((1, 1, 1), "at most 2 ranks"), ((0,), "a rank of 1 to 6 for 8 x 6, found 0"), ((3, 5), "a rank of 1 to 4")],
)
def test_invalid_ranks_are_refused_and_change_nothing(ranks: tuple[int, ...], message: str) -> None:
    part = tail(8, 6, 4)
    with pytest.raises(ValueError, match=message):
        replace_linears(part, ranks, truncated_svd)
    assert len(linear_layers(part)) == 2
