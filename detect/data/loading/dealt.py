"""Batches dealt to several processes: formed first, as for one process, and then shared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from detect.data.loading.batch_sampler import BatchPlan, Pick
from detect.data.loading.region_sampler import RegionPick, RegionPlan


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
