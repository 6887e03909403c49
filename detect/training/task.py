"""The task of a training: which samples make a batch, and how the network is validated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from detect.config.builders.slots import build_proposal_matcher
from detect.data.loading.batch_sampler import BatchSampler
from detect.data.loading.region_sampler import RegionBatchSampler, index_regions
from detect.errors import UserError
from detect.models.detector import Detector
from detect.training.context import RunContext
from detect.training.setup import build_validator
from detect.training.validation import ValidationResult

Sampler = BatchSampler | RegionBatchSampler


class Validator(Protocol):
    """A validation: the names of its metrics, and a method that computes them."""

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The names of the metrics that become columns of metrics.csv."""

    def run(self, detector: Detector) -> ValidationResult:
        """Return the metrics of the detector on the whole validation split."""


@dataclass(frozen=True)
class TrainingTask:
    """The samples that a network learns from, and its validation.

    make_sampler(batches, first): returns the sampler of the images, or regions of images, of each batch, from batch
    ``first`` on; batch_size: how many of ``unit`` ("images") a batch has; an epoch has as many of them as there are
    images.
    """

    make_sampler: Callable[[int, int], Sampler]
    batch_size: int
    unit: str
    validator: Validator

    def batches_per_epoch(self, images: int) -> int:
        """Return the number of batches of an epoch over ``images`` training images."""
        return -(-images // self.batch_size)


def default_task(context: RunContext) -> TrainingTask:
    """Return the task of the settings: batches of images or of regions; detections or an RPN's proposals validated."""
    head = context.config.model.head
    validator = build_validator(context, proposals_only=not context.config.train.trains_head)
    if head.sampling == "global":
        return TrainingTask(
            make_sampler=partial(_region_sampler, context),
            batch_size=head.batch_size_per_image,
            unit="regions",
            validator=validator,
        )
    return TrainingTask(
        make_sampler=partial(_image_sampler, context),
        batch_size=context.config.train.batch_size,
        unit="images",
        validator=validator,
    )


def _image_sampler(context: RunContext, batches: int, first: int) -> BatchSampler:
    train, data, seed = context.config.train, context.config.data, context.config.seed
    return BatchSampler(context.train.sizes, train.batch_size, seed, data.min_sizes, batches, first)


def _region_sampler(context: RunContext, batches: int, first: int) -> RegionBatchSampler:
    config, head = context.config, context.config.model.head
    assert context.proposals is not None
    region_index = index_regions(
        context.train, context.proposals, build_proposal_matcher(config.model), config.model.search.train_top_n
    )
    if not len(region_index.foreground):
        raise UserError(f"data.train: expected a region with an IoU of {head.positive_iou} or more, found none")
    return RegionBatchSampler(
        region_index,
        head.batch_size_per_image,
        head.positive_fraction,
        config.seed,
        config.data.min_sizes,
        batches,
        first,
    )
