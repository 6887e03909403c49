from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.data.loading.batch_sampler import BatchPlan, by_canvas

LANDSCAPE, PORTRAIT = (30, 40), (40, 30)
MIXED = [LANDSCAPE] * 23 + [PORTRAIT] * 14


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 9), st.integers(0, 99), st.booleans())
@settings(max_examples=60, deadline=None)
def test_every_image_once_an_epoch(wide: int, tall: int, batch: int, seed: int, group: bool) -> None:
    sizes = [LANDSCAPE] * (wide + 1) + [PORTRAIT] * tall
    steps = -(-len(sizes) // batch)
    plan = BatchPlan(sizes, batch, seed, (320,), 2 * steps, group_by_aspect=group)
    assert plan.steps_per_epoch == steps
    for epoch, picks in enumerate((list(plan)[:steps], list(plan)[steps:])):
        seen = [index for batch_picks in picks for _, index, _ in batch_picks]
        assert sorted(seen) == list(range(len(sizes)))
        assert {pick[0] for batch_picks in picks for pick in batch_picks} == {epoch}
        assert sum(len(batch_picks) < batch for batch_picks in picks) <= 1


def test_wide_and_tall_apart() -> None:
    plan = BatchPlan(MIXED, 4, 0, (320,), 10)
    mixed = [picks for picks in plan if len({MIXED[index] for _, index, _ in picks}) > 1]
    assert len(mixed) <= 2
    free = BatchPlan(MIXED, 4, 0, (320,), 10, group_by_aspect=False)
    assert len([picks for picks in free if len({MIXED[index] for _, index, _ in picks}) > 1]) > 4


def test_a_pure_function_of_seed_and_step() -> None:
    whole = list(BatchPlan(MIXED, 4, 7, (320, 480), 45))
    assert whole == list(BatchPlan(np.asarray(MIXED), 4, 7, (320, 480), 45))
    assert whole != list(BatchPlan(MIXED, 4, 8, (320, 480), 45))
    orders = [[index for picks in whole[at : at + 10] for _, index, _ in picks] for at in (0, 10)]
    assert orders[0] != orders[1]
    plan = BatchPlan(MIXED, 4, 7, (320, 480), 45)
    assert [plan.batch(step) for step in range(45)] == whole


@pytest.mark.parametrize("start", [0, 1, 9, 10, 23, 44, 45, 50])
def test_resumes_at_any_step(start: int) -> None:
    whole = list(BatchPlan(MIXED, 4, 7, (320,), 45))
    rest = BatchPlan(MIXED, 4, 7, (320,), 45, start=start)
    assert list(rest) == whole[start:]
    assert len(rest) == len(whole[start:])


def test_one_size_a_batch_and_all_sizes_in_time() -> None:
    picks = list(BatchPlan(MIXED, 4, 7, (320, 400, 480), 300))
    assert all(len({size for _, _, size in batch}) == 1 for batch in picks)
    counts = Counter(batch[0][2] for batch in picks)
    assert set(counts) == {320, 400, 480}
    assert min(counts.values()) > 60


@pytest.mark.parametrize("arguments", [([], 1, 0, (1,), 1), (MIXED, 0, 0, (1,), 1), (MIXED, 1, 0, (), 1)])
def test_impossible_plans(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="expected at least one"):
        BatchPlan(*arguments)


@pytest.mark.parametrize(
    ("canvases", "batches"),
    [
        ([], []),
        ([(1, 2)], [[0]]),
        ([(1, 2), (3, 4), (1, 2), (1, 2), (3, 4)], [[1, 4], [0, 2], [3]]),
    ],
)
def test_by_canvas(canvases: list[tuple[int, int]], batches: list[list[int]]) -> None:
    assert by_canvas(canvases, 2) == batches
