"""The detector that a run starts from."""

from __future__ import annotations

from pathlib import Path

from detect.checkpoints.checkpoint import Checkpoint
from detect.checkpoints.transfer import transfer
from detect.checkpoints.zoo import read_model
from detect.config import Config
from detect.config.builders.detector import build_detector
from detect.errors import UserError
from detect.models.detector import Detector

Start = tuple[Detector, list[str]]  # what a run starts from, and a line on each source of weights


def starting_detector(config: Config, classes: tuple[str, ...]) -> Start:
    """Built, with the weights of model.backbone.weights and over them those of model.init; and a line on each.

    Raises UserError that names the key where a file is missing or does not fit.
    """
    given = None if config.model.init is None else _fitting(Path(config.model.init), config)
    detector, report = build_detector(config, classes)
    lines = [] if report is None else [f"initial weights: {report}"]
    if given is None:
        return detector, lines
    moved = transfer(detector.state_dict(), given.weights, classes, given.classes)
    if not any(part.kept for part in moved.parts):
        raise UserError(f"model.init: {config.model.init}: expected tensors that fit this detector, found none")
    detector.load_state_dict(moved.weights)
    return detector, [*lines, *(f"model.init: {config.model.init}: {part}" for part in moved.parts)]


def _fitting(model: Path, config: Config) -> Checkpoint:
    """The checkpoint of a file, a run folder or the zoo, if its backbone is as configured; classes may differ."""
    try:
        saved, file = read_model(model)
    except UserError as error:
        raise UserError(f"model.init: {error}") from None
    for key in ("name", "norm", "output"):
        wanted, found = (getattr(each.model.backbone, key) for each in (config, saved.config))
        if wanted != found:
            raise UserError(f"model.init: {file}: expected model.backbone.{key} {wanted} as configured, found {found}")
    return saved
