"""Training settings -> loop rule, schedule and the parts that learn."""

from __future__ import annotations

import math

import torch

from detect.config import Config
from detect.config.builders.data import default_metric
from detect.config.builders.detector import preprocess_rule
from detect.models.backbones.necks import Backbone
from detect.models.detector import Detector
from detect.models.regions.warped_crops import WarpedCrops
from detect.training.context import Work
from detect.training.loop import LoopRule
from detect.training.optimizer import MovingAverage, Schedule, make_optimizer, parameter_groups
from detect.training.state import Learner, Progress
from detect.training.validation import Validation


def loop_rule(config: Config, batches_per_epoch: int) -> LoopRule:
    """Lengths in steps; validation after each ``validate_every`` epochs and at the end, or never."""
    train = config.train
    per_epoch = batches_per_epoch / train.accumulate
    steps = train.steps or math.ceil((train.epochs or 0) * per_epoch)
    validate_at: set[int] = set()
    if train.validate_every is not None:
        epochs = range(train.validate_every, math.ceil(steps / per_epoch) + 1, train.validate_every)
        validate_at = {step for step in (round(epoch * per_epoch) for epoch in epochs) if 0 < step < steps} | {steps}
    return LoopRule(
        seed=config.seed,
        steps=steps,
        accumulate=train.accumulate,
        clip=train.clip,
        log_every=train.log_every,
        checkpoint_every=train.checkpoint_every,
        validate_at=frozenset(validate_at),
    )


def schedule_rule(config: Config, steps: int) -> Schedule:
    """The learning rate over the run."""
    train = config.train
    return Schedule(train.schedule, steps, train.warmup, train.milestones, train.gamma)


def validation_of(work: Work, of_proposals: bool = False) -> Validation:
    """On the validation split, by the metric that its format calls for."""
    data, metric = work.config.data, default_metric(work.config)
    size = work.config.train.batch_size
    return Validation(
        work.val,
        preprocess_rule(work.config),
        metric,
        size,
        data.workers,
        work.compute,
        work.given,
        of_proposals,
        work.group,
    )


def make_learner(config: Config, detector: Detector) -> Learner:
    """The detector with a fresh optimiser, and a moving average where the settings ask for one."""
    train = config.train
    shared = detector.regions.body if isinstance(detector.regions, WarpedCrops) else detector.backbone
    body = shared.body if isinstance(shared, Backbone) else shared
    groups = parameter_groups(body, detector, train.lr, train.backbone_lr, train.weight_decay)
    device = next(detector.parameters()).device
    return Learner(
        detector=detector,
        optimizer=make_optimizer(train.optimizer, groups, train.momentum),
        average=MovingAverage(detector, train.ema) if train.ema else None,
        scaler=torch.amp.GradScaler(device.type, enabled=train.precision == "fp16"),
        progress=Progress(),
    )
