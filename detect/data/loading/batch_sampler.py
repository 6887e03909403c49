"""Batch samplers: which images make up which training step, as a pure function of the seed and the step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from detect.data.loading.region_sampler import RegionBatchSampler, RegionKey
from detect.system.randomness import hash_key, numpy_generator
from detect.types import Size

SampleKey = tuple[int, int, int]  # epoch, index of the image, min_size


class BatchSampler:
    """Yields the batch of each of the steps ``start`` to ``steps - 1``: a DataLoader's ``batch_sampler``.

    Every epoch uses each of the N images once, in ceil(N / batch_size) steps. Wide images are batched with wide ones
    and tall with tall ones, so that little of a padded batch is padding (at most two batches of an epoch mix them). One
    batch may be smaller.
    """

    def __init__(
        self,
        sizes: Sequence[Size] | np.ndarray,
        batch_size: int,
        seed: int,
        min_sizes: tuple[int, ...],
        steps: int,
        start: int = 0,
        group_by_aspect: bool = True,
    ) -> None:
        """sizes: N times (h, w); min_sizes: each batch uses one of them, at random."""
        if len(sizes) == 0 or batch_size < 1 or not min_sizes:
            raise ValueError("expected at least one image, one image per batch and one size")
        size = np.asarray(sizes).reshape(-1, 2)
        self.is_tall = size[:, 0] > size[:, 1] if group_by_aspect else np.zeros(len(size), bool)
        self.batch_size = batch_size
        self.seed = seed
        self.min_sizes = min_sizes
        self.steps = steps
        self.start = start

    @property
    def steps_per_epoch(self) -> int:
        """Number of steps in an epoch, ceil(N / batch_size)."""
        return -(-len(self.is_tall) // self.batch_size)

    def __len__(self) -> int:
        return max(0, self.steps - self.start)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        epoch, batches = -1, []
        for step in range(self.start, self.steps):
            if step // self.steps_per_epoch != epoch:
                epoch = step // self.steps_per_epoch
                batches = self._epoch_batches(epoch)
            yield self._sample_keys(step, batches)

    def batch(self, step: int) -> list[SampleKey]:
        """Return the batch of any step."""
        return self._sample_keys(step, self._epoch_batches(step // self.steps_per_epoch))

    def _sample_keys(self, step: int, batches: Sequence[np.ndarray]) -> list[SampleKey]:
        """Return the keys of a step's images, from the batches of its epoch."""
        epoch, index_in_epoch = divmod(step, self.steps_per_epoch)
        min_size = self.min_sizes[hash_key(self.seed, "min_size", step) % len(self.min_sizes)]
        return [(epoch, int(index), min_size) for index in batches[index_in_epoch]]

    def _epoch_batches(self, epoch: int) -> list[np.ndarray]:
        """Return the batches of an epoch, in order; each is an array of image indices."""
        rng = numpy_generator(self.seed, "order", epoch)
        order = rng.permutation(len(self.is_tall))
        groups = [order[~self.is_tall[order]], order[self.is_tall[order]]]
        full_lengths = [len(group) // self.batch_size * self.batch_size for group in groups]
        leftover = np.concatenate([group[end:] for group, end in zip(groups, full_lengths, strict=True)])
        batches = [
            group[start : start + self.batch_size]
            for group in (groups[0][: full_lengths[0]], groups[1][: full_lengths[1]], leftover)
            for start in range(0, len(group), self.batch_size)
        ]
        return [batches[i] for i in rng.permutation(len(batches))]


def group_by_size(sizes: Sequence[Size], batch_size: int) -> list[list[int]]:
    """Return batches of indices that contain every index once, each batch with images of one padded size only.

    So the padding of an image, and with it its detections, does not depend on the other images of the batch. sizes: (h,
    w) of each image after padding.
    """
    groups: dict[Size, list[int]] = {}
    for index, size in enumerate(sizes):
        groups.setdefault(size, []).append(index)
    return [
        groups[size][start : start + batch_size]
        for size in sorted(groups, reverse=True)  # the largest first: one that needs too much memory fails at once
        for start in range(0, len(groups[size]), batch_size)
    ]


class DistributedBatchSampler:
    """Yields one process's share of each batch: every ``world_size``-th key, starting with key ``rank``.

    The share of a small batch may be empty.
    """

    def __init__(self, sampler: BatchSampler | RegionBatchSampler, rank: int, world_size: int) -> None:
        self.sampler = sampler
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Sequence[SampleKey | RegionKey]]:
        return (keys[self.rank :: self.world_size] for keys in self.sampler)
