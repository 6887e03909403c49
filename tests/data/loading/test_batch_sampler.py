from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.data.loading.batch_sampler import BatchSampler, group_by_size

LANDSCAPE, PORTRAIT = (30, 40), (40, 30)
MIXED = [LANDSCAPE] * 23 + [PORTRAIT] * 14


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 9), st.integers(0, 99), st.booleans())
@settings(max_examples=40, deadline=None)
def test_batch_sampler_yields_every_image_once_per_epoch(
    wide: int, tall: int, batch: int, seed: int, group: bool
) -> None:
    sizes = [LANDSCAPE] * (wide + 1) + [PORTRAIT] * tall
    steps = -(-len(sizes) // batch)
    sampler = BatchSampler(sizes, batch, seed, (320,), 2 * steps, group_by_aspect=group)
    assert sampler.steps_per_epoch == steps
    for epoch, keys in enumerate((list(sampler)[:steps], list(sampler)[steps:])):
        indices = [index for batch_keys in keys for _, index, _ in batch_keys]
        assert sorted(indices) == list(range(len(sizes)))
        assert {key[0] for batch_keys in keys for key in batch_keys} == {epoch}
        assert sum(len(batch_keys) < batch for batch_keys in keys) <= 1


def test_batch_sampler_separates_wide_and_tall_images() -> None:
    sampler = BatchSampler(MIXED, 4, 0, (320,), 10)
    mixed = [keys for keys in sampler if len({MIXED[index] for _, index, _ in keys}) > 1]
    assert len(mixed) <= 2
    ungrouped = BatchSampler(MIXED, 4, 0, (320,), 10, group_by_aspect=False)
    assert len([keys for keys in ungrouped if len({MIXED[index] for _, index, _ in keys}) > 1]) > 4


def test_batch_sampler_depends_on_seed_and_step_only() -> None:
    batches = list(BatchSampler(MIXED, 4, 7, (320, 480), 45))
    assert batches == list(BatchSampler(np.asarray(MIXED), 4, 7, (320, 480), 45))
    assert batches != list(BatchSampler(MIXED, 4, 8, (320, 480), 45))
    orders = [[index for keys in batches[at : at + 10] for _, index, _ in keys] for at in (0, 10)]
    assert orders[0] != orders[1]
    sampler = BatchSampler(MIXED, 4, 7, (320, 480), 45)
    assert [sampler.batch(step) for step in range(45)] == batches


@pytest.mark.parametrize("start", [0, 1, 9, 10, 23, 44, 45, 50])
def test_batch_sampler_resumes_at_any_step(start: int) -> None:
    batches = list(BatchSampler(MIXED, 4, 7, (320,), 45))
    resumed = BatchSampler(MIXED, 4, 7, (320,), 45, start=start)
    assert list(resumed) == batches[start:]
    assert len(resumed) == len(batches[start:])


def test_batch_sampler_draws_one_min_size_per_batch() -> None:
    keys = list(BatchSampler(MIXED, 4, 7, (320, 400, 480), 300))
    assert all(len({size for _, _, size in batch}) == 1 for batch in keys)
    counts = Counter(batch[0][2] for batch in keys)
    assert set(counts) == {320, 400, 480}
    assert min(counts.values()) > 60


@pytest.mark.parametrize("arguments", [([], 1, 0, (1,), 1), (MIXED, 0, 0, (1,), 1), (MIXED, 1, 0, (), 1)])
def test_batch_sampler_with_invalid_arguments_fails(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="expected at least one"):
        BatchSampler(*arguments)


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [
        ([], []),
        ([(1, 2)], [[0]]),
        ([(1, 2), (3, 4), (1, 2), (1, 2), (3, 4)], [[1, 4], [0, 2], [3]]),
    ],
)
def test_group_by_size(sizes: list[tuple[int, int]], batches: list[list[int]]) -> None:
    assert group_by_size(sizes, 2) == batches
