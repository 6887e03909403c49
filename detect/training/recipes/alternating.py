"""Recipe `alternating`: Faster R-CNN's 4-step training (section 3.2).

1. Train an RPN from the initial weights. 2. Train a Fast R-CNN from the initial weights, on that RPN's proposals; the
two share nothing yet. 3. Train a new RPN on the detector's backbone, which is frozen. 4. Train the detector's head
alone, on the new RPN's proposals. The last two share their backbone: together they are one Faster R-CNN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import Tensor

from detect.checkpoints.checkpoint import load_checkpoint
from detect.config import Config
from detect.config.builders.detector import frozen_parts
from detect.config.train import TrainablePart, TrainConfig
from detect.inference.load import load
from detect.inference.rpn_proposals import RPNProposals, write_rpn_proposals
from detect.proposals.lookups import load_proposal_lookup
from detect.system.progress import show_progress
from detect.training.context import RunContext, TrainingResult
from detect.training.initial_model import InitialModel
from detect.training.recipes.finish import finish
from detect.training.recipes.stages import Stage, run_stages, stage_context
from detect.training.trainer import train_model


def alternating(context: RunContext, initial: InitialModel | None = None) -> TrainingResult:
    """Run all stages, or those still to do; each network has a run folder inside that of the run.

    The first RPN is trained in the detector of ``initial``; the others start from weights that a stage has yet to
    train, or build the initial ones again.
    """
    proposals = [context.folder.path / f"proposals-{index}.npz" for index in (1, 2)]
    first_rpn = stage_context(context, "1-rpn", _stage_config(context.config, ("backbone", "proposer")))
    detector = stage_context(context, "2-detector", _stage_config(context.config, ("backbone", "head"), proposals[0]))
    second_rpn = stage_context(
        context, "3-rpn", _stage_config(context.config, ("proposer",), init=detector.folder.best)
    )
    head = stage_context(
        context, "4-head", _stage_config(context.config, ("head",), proposals[1], second_rpn.folder.best)
    )
    unreadable = list(context.unreadable)

    def train(stage: RunContext, initial: InitialModel | None = None) -> None:
        if initial is not None:
            initial.detector.freeze(frozen_parts(stage.config.train.trainable))
        unreadable.extend(train_model(stage, initial).unreadable)

    stages = [
        Stage(
            name="1-rpn",
            description="train an RPN from the initial weights",
            run=partial(train, first_rpn, initial),
        ),
        Stage(
            name="1-proposals",
            description="write its proposals of the training images",
            run=partial(_propose, first_rpn, proposals[0]),
        ),
        Stage(
            name="2-detector",
            description="train a Fast R-CNN from the initial weights on these proposals",
            run=lambda: train(_with_proposals(detector)),
        ),
        Stage(
            name="3-rpn",
            description="train a new RPN on the detector's frozen backbone",
            run=partial(train, second_rpn),
        ),
        Stage(
            name="3-proposals",
            description="write its proposals of the training images",
            run=partial(_propose, second_rpn, proposals[1]),
        ),
        Stage(
            name="4-head",
            description="train the detector's head alone on these proposals",
            run=lambda: train(_with_proposals(head)),
        ),
    ]
    run_stages(stages, context)
    step, weights = _assemble(second_rpn, head)
    return finish(context, weights, step, unreadable)


def _stage_config(
    config: Config, parts: Sequence[TrainablePart], proposals: Path | None = None, init: Path | None = None
) -> Config:
    """Return the configuration of one stage.

    parts: those that learn; the stage has the length and the batches of an RPN if the proposer is one of them;
    proposals: the file to train on, None for the RPN's own; init: the checkpoint to start from, None for the initial
    weights.
    """
    model: dict[str, object] = {} if init is None else {"init": str(init.absolute())}
    if proposals is not None:  # all of them: train_top_n limits those of a search
        search = config.model.search.model_copy(update={"train_top_n": config.model.rpn.post_nms_top_n_train})
        model |= {"proposals": str(proposals.absolute()), "search": search}
    train: dict[str, object] = {"recipe": "joint", "trainable": tuple(parts), "validate_every": None}
    if "proposer" in parts:
        train |= _rpn_settings(config.train)
    # A stage is no alternating training, which alone has settings of its RPN.
    train |= {"rpn_steps": None, "rpn_batch_size": None, "rpn_milestones": None}
    return config.model_copy(
        update={"model": config.model.model_copy(update=model), "train": config.train.model_copy(update=train)}
    )


def _rpn_settings(train: TrainConfig) -> dict[str, object]:
    """Return the length, the batch size and the milestones of an RPN, where they differ from those of a detector."""
    settings: dict[str, object] = {} if train.rpn_steps is None else {"steps": train.rpn_steps, "epochs": None}
    if train.rpn_batch_size is not None:
        settings["batch_size"] = train.rpn_batch_size
    if train.rpn_milestones is not None:
        settings["milestones"] = train.rpn_milestones
    return settings


def _propose(context: RunContext, out: Path) -> None:
    """Write as many proposals of each training image as the RPN gives a detector in training."""
    predictor = load(context.folder.best, context.config.device)
    source = RPNProposals(predictor, context.train, context.config, predictor.base_detector.head_training.selection)
    with show_progress(context.console, "proposing", len(context.train), "images") as progress:
        written = write_rpn_proposals([source], out, progress)
    context.log(f"{len(written.boxes)} proposals in {len(written)} images: {out}")


def _with_proposals(context: RunContext) -> RunContext:
    """Return the context with the proposals of the training images from the file in its settings."""
    model, images = context.config.model, [context.train.file(index) for index in range(len(context.train))]
    return replace(context, proposals=load_proposal_lookup(model.proposal_files, images, model.search.train_top_n))


def _assemble(rpn_context: RunContext, head_context: RunContext) -> tuple[int, dict[str, Tensor]]:
    """Return the steps of the last network and the weights of both networks, which share their backbone."""
    saved = load_checkpoint(head_context.folder.best)
    proposer = {
        name: value
        for name, value in load_checkpoint(rpn_context.folder.best).weights.items()
        if name.startswith("proposer.")
    }
    return saved.step, saved.weights | proposer
