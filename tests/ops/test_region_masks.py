"""Masks of regions: windows and the hardest one against a slow search, drawn cells against their frequencies."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from detect.ops.region_masks import cell_counts, draw_cells, hardest_windows, hide, window_masks
from detect.system import randomness


@pytest.mark.parametrize(("pool_size", "side"), [(1, 1), (2, 1), (3, 1), (5, 2), (6, 2), (7, 3), (14, 5)])
def test_windows_are_a_third_of_the_side_everywhere(pool_size: int, side: int) -> None:
    expected = []
    for y, x in product(range(pool_size - side + 1), repeat=2):
        mask = torch.zeros(pool_size, pool_size, dtype=torch.bool)
        mask[y : y + side, x : x + side] = True
        expected.append(mask)
    assert torch.equal(window_masks(pool_size), torch.stack(expected))


def test_hide_zeroes_cells_in_all_channels() -> None:
    regional = torch.rand(2, 3, 2, 2) + 1
    masks = torch.tensor([[[True, False], [False, False]], [[False, False], [True, True]]])
    hidden = hide(regional, masks)
    assert torch.equal(hidden == 0, masks[:, None].expand(2, 3, 2, 2))
    assert torch.equal(hidden[~masks[:, None].expand(2, 3, 2, 2)], regional[~masks[:, None].expand(2, 3, 2, 2)])
    assert torch.equal(hide(regional, masks[0])[1], hide(regional[1:], masks[:1])[0])


@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize("pool_size", [1, 5, 7])
def test_hardest_window_is_that_of_a_slow_search(pool_size: int, count: int) -> None:
    torch.manual_seed(pool_size)
    weight, regional = torch.randn(4, pool_size, pool_size), torch.randn(count, 4, pool_size, pool_size)

    def probability(maps: Tensor) -> Tensor:
        return (maps * weight).sum((1, 2, 3)).sigmoid()

    side = -(-pool_size // 3)
    masks = hardest_windows(probability, regional)
    assert masks.shape == (count, pool_size, pool_size)
    for region, mask in zip(regional, masks, strict=True):
        found = {}
        for y, x in product(range(pool_size - side + 1), repeat=2):
            changed = region.clone()
            changed[:, y : y + side, x : x + side] = 0
            found[y, x] = float(probability(changed[None]))
        y, x = min(found, key=found.__getitem__)
        assert int(mask.sum()) == side**2
        assert mask[y : y + side, x : x + side].all()


@pytest.mark.parametrize(
    ("pool_size", "counts"), [(1, (1, 1)), (2, (2, 1)), (5, (10, 8)), (6, (15, 11)), (7, (20, 15)), (14, (80, 60))]
)
def test_counts_are_those_of_the_authors_in_proportion(pool_size: int, counts: tuple[int, int]) -> None:
    assert cell_counts(pool_size, 20 / 49, 15 / 49) == counts


def test_cells_are_drawn_among_the_highest_and_equally_often() -> None:
    """20,000 regions with the same scores: each of 20 candidates is drawn in 3/4, within five standard deviations."""
    count, cells = 20_000, 49
    scores = torch.rand(7, 7, generator=torch.Generator().manual_seed(0))
    random_values = randomness.uniform(count * cells, torch.device("cpu"), 0, "test").view(count, cells)
    masks = draw_cells(scores.expand(count, 7, 7), random_values, 20, 15)
    assert (masks.sum((1, 2)) == 15).all()
    frequency = masks.double().mean(0).flatten()
    highest = scores.flatten().topk(20).indices
    others = torch.ones(cells, dtype=torch.bool).index_fill(0, highest, False)
    assert not frequency[others].any()
    deviation = (0.75 * 0.25 / count) ** 0.5
    assert ((frequency[highest] - 0.75).abs() < 5 * deviation).all()
    pairs = masks.flatten(1).double()[:, highest]
    together = (pairs.T @ pairs / count).fill_diagonal_(15 * 14 / (20 * 19))
    assert ((together - 15 * 14 / (20 * 19)).abs() < 0.02).all()


def test_no_regions_draw_no_cells() -> None:
    assert draw_cells(torch.zeros(0, 5, 5), torch.zeros(0, 25), 10, 8).shape == (0, 5, 5)
