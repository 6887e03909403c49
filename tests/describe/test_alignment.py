from __future__ import annotations

import pytest
import torch
from torch import Tensor

from detect.describe.alignment import ComparedRegions, Reduction, compared_rows, pair_scores, photo_scores, ranking_loss


def draw(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Words of 3 sentences (one is empty) and regions of 4 photos (one has a single region), in float64."""
    torch.manual_seed(seed)
    is_word = torch.tensor([[1, 1, 1], [0, 0, 0], [1, 0, 0]], dtype=torch.bool)
    is_region = torch.tensor([[1, 1], [1, 0], [1, 1], [1, 1]], dtype=torch.bool)
    words, regions = torch.randn(3, 3, 5, dtype=torch.float64), torch.randn(4, 2, 5, dtype=torch.float64)
    return words, is_word, regions, is_region


def score_by_loops(words: list[list[float]], regions: list[list[float]], reduction: Reduction) -> float:
    total = 0.0
    for word in words:
        products = [sum(a * b for a, b in zip(word, region, strict=True)) for region in regions]
        total += max(products) if reduction == "max" else sum(max(0.0, product) for product in products)
    return total


def loss_by_loops(scores: list[list[float]], margin: float) -> float:
    count, total = len(scores), 0.0
    for k in range(count):
        for l in range(count):  # noqa: E741
            if l != k:
                total += max(0.0, scores[k][l] - scores[k][k] + margin)
                total += max(0.0, scores[l][k] - scores[k][k] + margin)
    return total / count if count else 0.0


@pytest.mark.parametrize("reduction", ["max", "sum"])
def test_pair_scores_equal_the_formula_in_loops(reduction: Reduction) -> None:
    words, is_word, regions, is_region = draw()
    scores = pair_scores(words, is_word, regions, is_region, reduction)
    assert scores.shape == (4, 3)
    for k in range(4):
        for sentence in range(3):
            expected = score_by_loops(
                words[sentence][is_word[sentence]].tolist(), regions[k][is_region[k]].tolist(), reduction
            )
            assert float(scores[k, sentence]) == pytest.approx(expected)


@pytest.mark.parametrize("reduction", ["max", "sum"])
def test_a_pair_has_the_same_score_in_any_batch(reduction: Reduction) -> None:
    words, is_word, regions, is_region = draw()
    alone = pair_scores(words[2:, :1], is_word[2:, :1], regions[1:2, :1], is_region[1:2, :1], reduction)
    assert float(alone) == pytest.approx(float(pair_scores(words, is_word, regions, is_region, reduction)[1, 2]))


def test_photo_scores_ignore_rows_that_fill_up() -> None:
    scores, is_region = torch.tensor([[[-3.0, 8.0]]]), torch.tensor([[True, False]])
    assert photo_scores(scores, is_region, "max").tolist() == [[-3.0]]
    assert photo_scores(scores, is_region, "sum").tolist() == [[0.0]]


@pytest.mark.parametrize(
    ("regions", "num_rows", "expected"),
    [
        ("regions", 1, [0]),
        ("regions", 3, [0, 1, 2]),
        ("detections", 1, [0]),
        ("detections", 3, [0, 1]),
        ("photo", 1, [0]),
        ("photo", 3, [2]),
    ],
)
def test_compared_rows_are_those_of_the_setting(regions: ComparedRegions, num_rows: int, expected: list[int]) -> None:
    assert list(range(num_rows))[compared_rows(num_rows, regions)] == expected


@pytest.mark.parametrize("count", [0, 1, 2, 5])
@pytest.mark.parametrize("margin", [0.1, 1.0])
def test_ranking_loss_equals_the_formula_in_loops(count: int, margin: float) -> None:
    torch.manual_seed(count)
    scores = torch.randn(count, count, dtype=torch.float64)
    assert float(ranking_loss(scores, margin)) == pytest.approx(loss_by_loops(scores.tolist(), margin))


def test_ranking_loss_of_right_pairs_ahead_by_the_margin_is_0() -> None:
    assert float(ranking_loss(2.0 * torch.eye(3), margin=1.0)) == 0
    assert float(ranking_loss(torch.zeros(2, 2), margin=1.0)) == pytest.approx(2.0)


@pytest.mark.parametrize("reduction", ["max", "sum"])
def test_gradients_of_score_and_loss_equal_finite_differences(reduction: Reduction) -> None:
    words, is_word, regions, is_region = draw(1)

    def loss(words: Tensor, regions: Tensor) -> Tensor:
        return ranking_loss(pair_scores(words, is_word, regions[:3], is_region[:3], reduction), 1.0)

    assert torch.autograd.gradcheck(loss, (words.requires_grad_(), regions.requires_grad_()))
