"""Measures a few steps and a few images of validation, to say how long a run will take before it starts."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace

from torch.utils.data import DataLoader

from detect.config.builders.data import build_augment
from detect.config.builders.detector import build_preprocess
from detect.data.loading.batch_sampler import DistributedBatchSampler
from detect.data.loading.collate import Batch
from detect.data.loading.loader import training_loader
from detect.data.sources import select
from detect.models.detector import Detector
from detect.training.context import RunContext
from detect.training.loop import Callbacks, LoopConfig, NonFiniteStep, train_loop
from detect.training.setup import build_schedule, build_train_state, loop_config
from detect.training.task import default_task

WARM_UP_STEPS, TIMED_STEPS = 2, 4  # the first steps allocate memory and choose kernels


@dataclass(frozen=True)
class ExpectedTime:
    """The steps and validations of a run, and the seconds that one of each takes."""

    steps: int
    step_seconds: float
    validations: int
    validation_seconds: float

    @property
    def minutes(self) -> float:
        """The time of the whole run in minutes, if it does not stop early."""
        return (self.steps * self.step_seconds + self.validations * self.validation_seconds) / 60

    def __str__(self) -> str:
        validations = (
            f" and {self.validations} validations of {self.validation_seconds:.1f} s" if self.validations else ""
        )
        return (
            f"expected: at most {self.minutes:.1f} minutes, {self.steps} steps of {self.step_seconds:.2f} s"
            f"{validations}, as measured on {TIMED_STEPS} steps"
        )


def measure_time(context: RunContext, detector: Detector) -> ExpectedTime | None:
    """Return the expected time of a joint training of one process, measured on a copy of its initial detector.

    Nothing of the run changes by it. Return None where the first losses are not finite, which the run itself reports.
    """
    config, task = context.config, default_task(context)
    loop = loop_config(config, task.batches_per_epoch(len(context.train)))
    state = build_train_state(config, copy.deepcopy(detector).to(context.compute.device))
    steps = WARM_UP_STEPS + TIMED_STEPS
    short = replace(loop, steps=steps, log_every=steps + 1, checkpoint_every=steps + 1, validate_at=frozenset())
    starts: dict[int, float] = {}
    try:
        train_loop(
            state,
            iter(_batches(context, short)),
            build_schedule(config, loop.steps),
            short,
            context.compute,
            _clock(starts),
        )
    except NonFiniteStep:
        return None
    step_seconds = (time.perf_counter() - starts[WARM_UP_STEPS]) / TIMED_STEPS
    validation_seconds = _validation_seconds(context, state.eval_model) if loop.validate_at else 0.0
    return ExpectedTime(
        steps=loop.steps,
        step_seconds=step_seconds,
        validations=len(loop.validate_at),
        validation_seconds=validation_seconds,
    )


def _batches(context: RunContext, loop: LoopConfig) -> DataLoader[Batch]:
    """Return the first batches of the training."""
    config = context.config
    sampler = default_task(context).make_sampler(loop.steps * loop.accumulate, 0)
    return training_loader(
        context.train,
        build_preprocess(config),
        build_augment(config),
        DistributedBatchSampler(sampler, 0, 1),
        config.seed,
        config.data.workers,
        context.proposals,
        pin_memory=context.compute.is_asynchronous,
    )


def _clock(starts: dict[int, float]) -> Callbacks:
    """Return callbacks that do nothing but write the time at which each step starts into ``starts``."""

    def note_start(step: int, _batch: Batch) -> None:
        starts.setdefault(step, time.perf_counter())

    return Callbacks(
        log=lambda _row: None,
        validate=lambda: False,
        save=lambda: None,
        on_batch=note_start,
        on_unreadable=lambda _lines: None,
        on_other_sizes=lambda _lines: None,
        on_non_finite=lambda _batches: "",
    )


def _validation_seconds(context: RunContext, detector: Detector) -> float:
    """Return the seconds of a validation, from one of the first images, two batches of them."""
    images = min(len(context.val), 2 * context.config.train.batch_size)
    few = replace(context, val=select(context.val, range(images)))
    started = time.perf_counter()
    default_task(few).validator.run(detector)
    return (time.perf_counter() - started) / images * len(context.val)
