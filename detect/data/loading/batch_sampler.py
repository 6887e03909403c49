"""Which images make up which training step: a pure function of the seed and the step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from detect.data.loading.region_sampler import RegionPick, RegionPlan
from detect.system.randomness import generator, key
from detect.types import Size

Pick = tuple[int, int, int]  # epoch, index of the image, min_size


class BatchPlan:
    """Steps ``start`` to ``steps - 1``; iterating gives the batch of each, a DataLoader's ``batch_sampler``.

    Every epoch uses each of the N images once, in ceil(N / batch_size) steps. Wide images go with wide ones and tall
    with tall, so that little of the canvas is padding (at most two batches of an epoch mix them); one batch may be
    smaller.
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
        """sizes: N times (h, w); min_sizes: a batch draws one of them."""
        if len(sizes) == 0 or batch_size < 1 or not min_sizes:
            raise ValueError("expected at least one image, one image a batch and one size")
        size = np.asarray(sizes).reshape(-1, 2)
        self.tall = size[:, 0] > size[:, 1] if group_by_aspect else np.zeros(len(size), bool)
        self.batch_size = batch_size
        self.seed = seed
        self.min_sizes = min_sizes
        self.steps = steps
        self.start = start

    @property
    def steps_per_epoch(self) -> int:
        """ceil(N / batch_size)."""
        return -(-len(self.tall) // self.batch_size)

    def __len__(self) -> int:
        return max(0, self.steps - self.start)

    def __iter__(self) -> Iterator[list[Pick]]:
        epoch, batches = -1, []
        for step in range(self.start, self.steps):
            if step // self.steps_per_epoch != epoch:
                epoch = step // self.steps_per_epoch
                batches = self._epoch(epoch)
            yield self._picks(step, batches)

    def batch(self, step: int) -> list[Pick]:
        """The batch of any step."""
        return self._picks(step, self._epoch(step // self.steps_per_epoch))

    def _picks(self, step: int, batches: Sequence[np.ndarray]) -> list[Pick]:
        epoch, place = divmod(step, self.steps_per_epoch)
        min_size = self.min_sizes[key(self.seed, "min_size", step) % len(self.min_sizes)]
        return [(epoch, int(index), min_size) for index in batches[place]]

    def _epoch(self, epoch: int) -> list[np.ndarray]:
        """The epoch's batches of indices, in order."""
        draw = generator(self.seed, "order", epoch)
        order = draw.permutation(len(self.tall))
        groups = [order[~self.tall[order]], order[self.tall[order]]]
        full = [len(group) // self.batch_size * self.batch_size for group in groups]
        rest = np.concatenate([group[end:] for group, end in zip(groups, full, strict=True)])
        batches = [
            group[at : at + self.batch_size]
            for group in (groups[0][: full[0]], groups[1][: full[1]], rest)
            for at in range(0, len(group), self.batch_size)
        ]
        return [batches[place] for place in draw.permutation(len(batches))]


def in_order(count: int, batch_size: int) -> list[list[int]]:
    """0 .. count - 1 in batches; the last may be smaller."""
    return [list(range(at, min(at + batch_size, count))) for at in range(0, count, batch_size)]


def by_canvas(canvases: Sequence[Size], batch_size: int) -> list[list[int]]:
    """Every index once, in batches of one canvas each.

    So an image's canvas, and with it its result, does not depend on its company in the batch.
    """
    groups: dict[Size, list[int]] = {}
    for index, canvas in enumerate(canvases):
        groups.setdefault(canvas, []).append(index)
    return [
        groups[canvas][at : at + batch_size]
        for canvas in sorted(groups, reverse=True)  # the largest first: too large a batch fails at once
        for at in range(0, len(groups[canvas]), batch_size)
    ]


class Dealt:
    """Of each batch of a plan the share of one process: every ``size``-th pick from the ``rank``-th on; maybe none."""

    def __init__(self, plan: BatchPlan | RegionPlan, rank: int, size: int) -> None:
        self.plan = plan
        self.rank = rank
        self.size = size

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[Sequence[Pick | RegionPick]]:
        return (picks[self.rank :: self.size] for picks in self.plan)
