"""Recipe `alternating`: Faster R-CNN's 4-step training (section 3.2).

1. An RPN from the initial weights. 2. A Fast R-CNN from the initial weights, on that RPN's proposals; nothing is shared
yet. 3. An RPN anew on the detector's backbone, which no longer learns. 4. The detector's head alone, on the new RPN's
proposals. The last two share their backbone: together they are one Faster R-CNN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from torch import Tensor

from detect.checkpoints.checkpoint import load_checkpoint
from detect.config import Config
from detect.config.builders.detector import SLOTS_THAT_LEARN
from detect.inference.predictor import load
from detect.inference.rpn_proposals import ModelProposals, write_learned
from detect.proposals.lookups import from_file
from detect.system.progress import display
from detect.training.context import Outcome, Work
from detect.training.initial_model import Start
from detect.training.recipes.finish import finish
from detect.training.recipes.stages import Stage, carry_out, stage_work
from detect.training.trainer import train_network

Part = Literal["backbone", "proposer", "head"]


def alternating(work: Work, start: Start | None = None) -> Outcome:
    """All stages, or those that are left; a run folder for each network inside the run's.

    The first RPN learns in the detector that ``start`` has; the others begin with weights that are not there yet, or
    with the initial ones again.
    """
    proposals = [work.folder.path / f"proposals-{number}.npz" for number in (1, 2)]
    first_rpn = stage_work(work, "1-rpn", _settings(work.config, ("backbone", "proposer")))
    detector = stage_work(work, "2-detector", _settings(work.config, ("backbone", "head"), proposals[0]))
    second_rpn = stage_work(work, "3-rpn", _settings(work.config, ("proposer",), init=detector.folder.best))
    head = stage_work(work, "4-head", _settings(work.config, ("head",), proposals[1], second_rpn.folder.best))
    unreadable = list(work.unreadable)

    def train(network: Work, start: Start | None = None) -> None:
        if start is not None:
            start[0].freeze(SLOTS_THAT_LEARN - set(network.config.train.parts))
        unreadable.extend(train_network(network, start).unreadable)

    stages = [
        Stage("1-rpn", "an RPN from the initial weights", partial(train, first_rpn, start)),
        Stage("1-proposals", "its proposals of the training images", partial(_propose, first_rpn, proposals[0])),
        Stage("2-detector", "a Fast R-CNN from the initial weights, on them", lambda: train(_given(detector))),
        Stage("3-rpn", "an RPN anew on the detector's backbone, which rests", partial(train, second_rpn)),
        Stage("3-proposals", "its proposals of the training images", partial(_propose, second_rpn, proposals[1])),
        Stage("4-head", "the detector's head alone, on them", lambda: train(_given(head))),
    ]
    carry_out(stages, work)
    step, weights = _put_together(second_rpn, head)
    return finish(work, weights, step, unreadable)


def _settings(config: Config, parts: Sequence[Part], proposals: Path | None = None, init: Path | None = None) -> Config:
    """Of one step: which parts learn, from which proposals (None: the RPN's own) and weights (None: the initial)."""
    model: dict[str, object] = {} if init is None else {"init": str(init.absolute())}
    if proposals is not None:  # all of them, whatever of a search's would train
        search = config.model.search.model_copy(update={"train_number": config.model.rpn.train_after})
        model |= {"proposals": str(proposals.absolute()), "search": search}
    train = {"recipe": "joint", "parts": tuple(parts), "validate_every": None}
    return config.model_copy(
        update={"model": config.model.model_copy(update=model), "train": config.train.model_copy(update=train)}
    )


def _propose(rpn: Work, out: Path) -> None:
    """As many proposals of each training image as the RPN gives a detector in training."""
    predictor = load(rpn.folder.best, rpn.config.device)
    proposed = ModelProposals(predictor, rpn.train, rpn.config, predictor.single.rule.selection)
    with display(rpn.console, "proposing", len(rpn.train), "images") as shown:
        made = write_learned([proposed], out, shown)
    rpn.say(f"{len(made.boxes)} proposals in {len(made)} images: {out}")


def _given(work: Work) -> Work:
    """The same with the proposals in the file that its settings name, of the training images."""
    model, images = work.config.model, [work.train.file(index) for index in range(len(work.train))]
    return replace(work, given=from_file(Path(model.proposals), images, model.search.train_number))


def _put_together(rpn: Work, head: Work) -> tuple[int, dict[str, Tensor]]:
    """The steps of the last network, and the weights of both: their backbone is the same."""
    saved = load_checkpoint(head.folder.best)
    proposer = {
        name: value for name, value in load_checkpoint(rpn.folder.best).weights.items() if name.startswith("proposer.")
    }
    return saved.step, saved.weights | proposer
