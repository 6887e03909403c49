"""Recipe `adversarial`: train a detector against an adversary that spoils the regions of objects.

A-Fast-RCNN (Wang, Shrivastava and Gupta 2017, arXiv:1704.03414), in the stages of its authors' code:

1. Train the detector alone. 2. Train the adversary on the frozen detector, if it is a network. 3. Train both against
each other. The adversary is in the checkpoints of its stages and in those of the run, beside the weights of the
detector; detecting does not use it.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from detect.checkpoints.checkpoint import load_checkpoint
from detect.config import Config
from detect.config.heads import AdversaryConfig
from detect.training.context import RunContext, TrainingResult
from detect.training.initial_model import InitialModel
from detect.training.recipes.finish import finish
from detect.training.recipes.stages import Stage, run_stages, stage_context
from detect.training.setup import loop_config
from detect.training.task import default_task
from detect.training.trainer import train_model


def adversarial(context: RunContext, initial: InitialModel | None = None) -> TrainingResult:
    """Run all stages, or those still to do; each has a run folder inside that of the run.

    Without an adversary the last stage is trained like the first: the control with the same stages.
    """
    config, steps = context.config, _stage_steps(context)
    alone = stage_context(context, "1-detector", _stage_config(config, steps[0], adversary=False))
    before, stages = alone, []
    unreadable = list(context.unreadable)

    def train(stage: RunContext, initial: InitialModel | None = None) -> None:
        unreadable.extend(train_model(stage, initial).unreadable)

    if initial is not None:
        initial = InitialModel(detector=initial.detector, lines=initial.lines)
    stages.append(Stage(name="1-detector", description="train the detector alone", run=partial(train, alone, initial)))
    if config.model.adversary.learns:
        before = stage_context(
            context, "2-adversary", _stage_config(config, steps[1], alone.folder.best, detector_is_frozen=True)
        )
        stages.append(
            Stage(
                name="2-adversary",
                description="train the adversary on the frozen detector",
                run=partial(train, before),
            )
        )
    joint = stage_context(context, "3-joint", _stage_config(config, steps[2], before.folder.best))
    stages.append(Stage(name="3-joint", description="train both against each other", run=partial(train, joint)))
    run_stages(stages, context)
    saved = load_checkpoint(joint.folder.best)
    return finish(context, saved.weights, steps[0] + saved.step, unreadable, saved.adversary)


def _stage_steps(context: RunContext) -> tuple[int, int, int]:
    """Return the number of steps of each stage; the first and the last are those of the settings together."""
    train = context.config.train
    total = loop_config(context.config, default_task(context).batches_per_epoch(len(context.train))).steps
    alone = min(max(1, round(train.adversarial.detector_fraction * total)), max(1, total - 1))
    return alone, max(1, round(train.adversarial.adversary_fraction * total)), max(1, total - alone)


def _stage_config(
    config: Config,
    steps: int,
    init: Path | None = None,
    *,
    adversary: bool = True,
    detector_is_frozen: bool = False,
) -> Config:
    """Return the configuration of one stage of ``steps`` steps.

    init: the checkpoint to start from, None for the initial weights; adversary: whether it has one; detector_is_frozen:
    whether that is trained alone. The whole run is validated once, at its end.
    """
    model: dict[str, object] = {} if init is None else {"init": str(init.absolute())}
    if not adversary:
        model["adversary"] = AdversaryConfig()
    train: dict[str, object] = {"steps": steps, "epochs": None, "validate_every": None}
    if detector_is_frozen:
        train |= {"trainable": ("adversary",), "ema_decay": 0.0}
    return config.model_copy(
        update={"model": config.model.model_copy(update=model), "train": config.train.model_copy(update=train)}
    )
