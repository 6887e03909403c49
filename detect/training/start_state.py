"""The state from which a training starts: that of the last checkpoint of its folder, or that of the initial model."""

from __future__ import annotations

from detect.checkpoints.checkpoint import load_checkpoint
from detect.config.builders.adversary import build_adversary
from detect.config.builders.detector import build_uninitialized
from detect.errors import UserError
from detect.models.adversaries.adversary import Adversary
from detect.models.detector import Detector
from detect.training.context import RunContext
from detect.training.initial_model import InitialModel, build_initial_detector
from detect.training.resumed_settings import changed_settings, require_same_optimizer
from detect.training.setup import build_train_state
from detect.training.state import TrainState


def build_start_state(context: RunContext, initial: InitialModel | None) -> tuple[TrainState, tuple[str, ...]]:
    """Return the state from which a training starts, on the device of the run, and the lines of the log on it.

    initial: the initial model of the settings, if it is built already. Raises UserError.
    """
    if context.folder.last.is_file():
        return _resume_state(context)
    initial = initial or build_initial_detector(context.config, context.train.classes)
    detector, adversary = _on_device(context, initial.detector, initial.adversary)
    return build_train_state(context.config, detector, adversary), initial.lines


def _resume_state(context: RunContext) -> tuple[TrainState, tuple[str, ...]]:
    """Return the state of the last checkpoint of the folder, and a line for each setting that was changed since."""
    config, file, classes = context.config, context.folder.last, context.train.classes
    saved = load_checkpoint(file)
    if saved.training is None:
        raise UserError(
            f"{file}: expected a checkpoint of a training to resume, found weights alone (they are for model.init)"
        )
    if saved.classes != classes:
        raise UserError(
            f"{file}: expected classes {', '.join(classes)} as in the data, found {', '.join(saved.classes)}"
        )
    require_same_optimizer(file, saved.config, config)
    detector, adversary = _on_device(context, build_uninitialized(config, saved.classes), build_adversary(config))
    state = build_train_state(config, detector, adversary)
    state.restore(saved.weights, saved.step, saved.training, saved.adversary)
    if not context.group.is_main:
        state.progress.loss_sums = {}  # of all processes: the main one has them
    return state, tuple(changed_settings(saved.config, config))


def _on_device(
    context: RunContext, detector: Detector, adversary: Adversary | None
) -> tuple[Detector, Adversary | None]:
    """Return a detector and its adversary on the device of the run."""
    device = context.compute.device
    return detector.to(device), None if adversary is None else adversary.to(device)
