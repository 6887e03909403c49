from __future__ import annotations

import itertools

import numpy as np
import pytest

from detect.describe.segments import Segment, assign_regions, split_segments


def energy(scores: np.ndarray, assigned: tuple[int, ...], beta: float) -> float:
    unary = sum(float(scores[t, region]) for t, region in enumerate(assigned))
    return unary + sum(beta for left, right in itertools.pairwise(assigned) if left == right)


def best_by_search(scores: np.ndarray, beta: float) -> tuple[int, ...]:
    """The best of all R ** T assignments; of equal ones the first by the last word, then the one before."""
    every = itertools.product(range(scores.shape[1]), repeat=len(scores))
    return max(every, key=lambda assigned: (energy(scores, assigned, beta), [-region for region in assigned[::-1]]))


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 50.0])
@pytest.mark.parametrize(("num_words", "num_regions"), [(0, 3), (1, 1), (1, 4), (4, 1), (5, 2), (4, 4), (6, 3)])
@pytest.mark.parametrize("seed", range(3))
def test_assign_regions_equals_the_search_over_all_assignments(
    num_words: int, num_regions: int, beta: float, seed: int
) -> None:
    scores = np.random.default_rng(seed).normal(size=(num_words, num_regions))
    assert tuple(assign_regions(scores, beta)) == best_by_search(scores, beta)


@pytest.mark.parametrize("beta", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(20))
def test_assign_regions_of_ties_takes_the_lower_regions_from_the_end(beta: float, seed: int) -> None:
    scores = np.random.default_rng(seed).integers(0, 3, size=(4, 3)).astype(np.float64)
    assert tuple(assign_regions(scores, beta)) == best_by_search(scores, beta)


def test_assign_regions_when_one_region_alone_is_allowed() -> None:
    scores = np.full((3, 4), -np.inf, np.float32)
    scores[:, -1] = [-5, 2, 0]
    assert assign_regions(scores, 1.0).tolist() == [3, 3, 3]


@pytest.mark.parametrize(
    ("assigned", "expected"),
    [
        ([], ()),
        ([2], ((0, 1, 2),)),
        ([1, 1, 1], ((0, 3, 1),)),
        ([0, 0, 3, 0], ((0, 2, 0), (2, 3, 3), (3, 4, 0))),
    ],
)
def test_split_segments_makes_runs(assigned: list[int], expected: tuple[tuple[int, int, int], ...]) -> None:
    segments = tuple(Segment(first=first, end=end, region=region) for first, end, region in expected)
    assert split_segments(np.array(assigned, np.int64)) == segments
