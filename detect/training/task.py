"""What a network is shown, and how it is examined: the two things in which trainings by losses differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from detect.config.builders.slots import region_matcher
from detect.data.loading.batch_sampler import BatchPlan
from detect.data.loading.region_sampler import RegionPlan, region_pool
from detect.errors import UserError
from detect.models.detector import Detector
from detect.training.context import Work
from detect.training.setup import validation_of
from detect.training.validation import Validated

Plan = BatchPlan | RegionPlan


class Examination(Protocol):
    """A validation: the names of its numbers, and what they are now."""

    @property
    def names(self) -> tuple[str, ...]:
        """The numbers worth a column of metrics.csv."""

    def run(self, detector: Detector) -> Validated:
        """Over the whole validation split."""


@dataclass(frozen=True)
class Lesson:
    """plan(batches, first): which images, or regions of images, make up each batch; number: how many of ``unit`` that
    are; an epoch is as many of them as there are images.
    """

    plan: Callable[[int, int], Plan]
    number: int
    unit: str
    examination: Examination

    def batches_per_epoch(self, images: int) -> int:
        """Of so many training images."""
        return -(-images // self.number)


def lesson_of(work: Work) -> Lesson:
    """Images and their regions as the settings draw them; the detections are examined, or an RPN's proposals."""
    head = work.config.model.head
    examination = validation_of(work, of_proposals="head" not in work.config.train.parts)
    if head.sampling == "uniform":
        return Lesson(lambda batches, first: _regions(work, batches, first), head.number, "regions", examination)
    train, data, seed = work.config.train, work.config.data, work.config.seed

    def images(batches: int, first: int) -> Plan:
        return BatchPlan(work.train.sizes, train.batch_size, seed, data.min_sizes, batches, first)

    return Lesson(images, train.batch_size, "images", examination)


def _regions(work: Work, batches: int, first: int) -> RegionPlan:
    config, head = work.config, work.config.model.head
    assert work.given is not None
    pool = region_pool(work.train, work.given, region_matcher(config.model), config.model.search.train_number)
    if not len(pool.foreground):
        raise UserError(f"data.train: expected a region with an IoU of {head.foreground} or more, found none")
    return RegionPlan(pool, head.number, head.share, config.seed, config.data.min_sizes, batches, first)
