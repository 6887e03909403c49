"""Build the loop's settings, the schedule, the validator and the training state from the configuration."""

from __future__ import annotations

import math

import torch
from torch import nn

from detect.config import Config
from detect.config.builders.data import default_metric
from detect.config.builders.detector import build_preprocess
from detect.models.adversaries.adversary import Adversary
from detect.models.detector import Detector
from detect.training.context import RunContext
from detect.training.loop import LoopConfig
from detect.training.optimizer import ModelEMA, Schedule, build_optimizer, parameter_groups
from detect.training.state import TrainingProgress, TrainState
from detect.training.validation import DetectionValidator


def loop_config(config: Config, batches_per_epoch: int) -> LoopConfig:
    """Return the settings of the loop: lengths in steps, validation every ``validate_every`` epochs and at the end.

    There is no validation where ``validate_every`` is None.
    """
    train = config.train
    per_epoch = batches_per_epoch / train.accumulate
    steps = train.steps or math.ceil((train.epochs or 0) * per_epoch)
    validate_at: set[int] = set()
    if train.validate_every is not None:
        epochs = range(train.validate_every, math.ceil(steps / per_epoch) + 1, train.validate_every)
        validate_at = {step for step in (round(epoch * per_epoch) for epoch in epochs) if 0 < step < steps} | {steps}
    return LoopConfig(
        seed=config.seed,
        steps=steps,
        accumulate=train.accumulate,
        clip_grad_norm=train.clip_grad_norm,
        log_every=train.log_every,
        checkpoint_every=train.checkpoint_every,
        validate_at=frozenset(validate_at),
    )


def build_schedule(config: Config, steps: int) -> Schedule:
    """Return the learning rate schedule of a run of ``steps`` steps."""
    train = config.train
    return Schedule(
        shape=train.schedule, steps=steps, warmup=train.warmup, milestones=train.milestones, gamma=train.gamma
    )


def build_validator(context: RunContext, proposals_only: bool = False) -> DetectionValidator:
    """Return the validator of the validation split, with the default metric of its format.

    proposals_only: measure the recall of the proposals, not the detections.
    """
    return DetectionValidator(
        annotations=context.val,
        preprocess=build_preprocess(context.config),
        metric=default_metric(context.config),
        batch_size=context.config.train.batch_size,
        workers=context.config.data.workers,
        compute=context.compute,
        proposals=context.proposals,
        proposals_only=proposals_only,
        group=context.group,
    )


def _module_factors(config: Config, detector: Detector) -> list[tuple[nn.Module, float]]:
    """Return the modules of the detector that have a learning rate factor of their own, and the factor of each."""
    factors = config.train.lr_factors
    rpn_layers, stages = detector.proposer.output_layers(), [stage.output_layers() for stage in detector.head.stages]
    modules = [
        (detector.feature_network().body, factors.backbone),
        (detector.get_submodule("proposer"), factors.proposer),
        (detector.get_submodule("head"), factors.head),
        *((layers["logits"], factors.classifier) for layers in stages),
        *((layers["deltas"], factors.box_regressor) for layers in stages),
    ]
    if detector.mask_head is not None:
        modules.append((detector.mask_head, factors.head))
    return [*modules, *([(rpn_layers["objectness"], factors.objectness)] if rpn_layers else [])]


def build_train_state(config: Config, detector: Detector, adversary: Adversary | None = None) -> TrainState:
    """Return the detector with a new optimizer, and a moving average if the settings ask for one.

    adversary: that it is trained against; it has the learning rate and weight decay of the detector, without the
    factors of the parts, and no average.
    """
    train = config.train
    groups = parameter_groups(
        detector,
        train.lr,
        train.weight_decay,
        _module_factors(config, detector),
        train.lr_factors.bias,
        train.bias_decay,
    )
    if adversary is not None:
        groups += parameter_groups(adversary, train.lr, train.weight_decay, decay_biases=train.bias_decay)
    device = next(detector.parameters()).device
    scaler = torch.amp.GradScaler(device.type, enabled=train.precision == "fp16")
    # This creates its scale, which a process needs also where its share of the first batch is empty.
    scaler.scale(torch.zeros((), device=device))
    return TrainState(
        detector=detector,
        optimizer=build_optimizer(train.optimizer, groups, train.momentum),
        ema=ModelEMA(detector, train.ema_decay) if train.ema_decay else None,
        scaler=scaler,
        progress=TrainingProgress(),
        adversary=adversary,
    )
