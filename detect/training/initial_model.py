"""The detector that a run starts from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from detect.checkpoints.checkpoint import Checkpoint
from detect.checkpoints.transfer import transfer
from detect.checkpoints.zoo import read_model
from detect.config import Config
from detect.config.builders.adversary import build_adversary
from detect.config.builders.detector import build_detector, build_uninitialized, pretrained_tensors
from detect.config.files import dotted_keys
from detect.errors import UserError
from detect.models.adversaries.adversary import Adversary
from detect.models.backbones.pretrained import WeightsReport
from detect.models.detector import Detector

# Settings that give weights their meaning, without one of which they still fit: what the pixels are, which boxes the
# outputs of an RPN are about, and the unit of deltas.
_PIXELS = ("model.preprocess.channels", "model.preprocess.mean", "model.preprocess.std")
_RPN = ("model.rpn.anchor_sizes", "model.rpn.aspect_ratios", "model.rpn.delta_stds")
_HEAD = ("model.head.delta_stds",)


@dataclass(frozen=True)
class InitialModel:
    """The detector that a run starts from, and a line for the log about each source of its weights.

    adversary: that it is trained against, None for none.
    """

    detector: Detector
    lines: tuple[str, ...] = ()
    adversary: Adversary | None = None


def build_initial_detector(config: Config, classes: tuple[str, ...]) -> InitialModel:
    """Build the detector with the weights of model.backbone.weights, then those of model.init over them.

    Weights of the backbone that model.init replaces whole are neither read nor fetched. An adversary has the weights of
    that of model.init, if it has one. The softmax reads the last
    features of the tail, also where SVMs will read others. Raises UserError that names the key if a file is missing or
    does not fit, or if the tail does not have the features of the SVMs.
    """
    if config.model.head.svm_features is not None:
        with torch.device("meta"):
            build_uninitialized(config, classes)  # refuses features that the tail does not have, before a search
        config = without_svm_features(config)
    if config.model.init is None:
        detector, report = build_detector(config, classes)
        return InitialModel(detector=detector, lines=_report_lines(report), adversary=build_adversary(config))
    checkpoint = _read_matching_checkpoint(Path(config.model.init), config)
    lines, detector = _build_below(checkpoint, config, classes)
    transferred = transfer(detector.state_dict(), checkpoint.weights, classes, checkpoint.classes)
    if not any(part.num_loaded for part in transferred.parts):
        raise UserError(f"model.init: {config.model.init}: expected tensors that fit this detector, found none")
    detector.load_state_dict(transferred.weights)
    reports = [*map(str, transferred.parts), *differing_settings(checkpoint.config, config)]
    lines = (*lines, *(f"model.init: {config.model.init}: {report}" for report in reports))
    return InitialModel(detector=detector, lines=lines, adversary=_initial_adversary(checkpoint, config))


def differing_settings(saved: Config, here: Config) -> list[str]:
    """Return a line for each setting with which the weights of ``saved`` mean something else in ``here``.

    Those of an RPN count where both have one.
    """
    have_rpn = not (saved.model.uses_precomputed_proposals or here.model.uses_precomputed_proposals)
    before, now = (dict(dotted_keys(config.model_dump(mode="json"))) for config in (saved, here))
    keys = (*_PIXELS, *(_RPN if have_rpn else ()), *_HEAD)
    return [f"trained with {key} {before[key]}, here {now[key]}" for key in keys if before[key] != now[key]]


def _initial_adversary(checkpoint: Checkpoint, config: Config) -> Adversary | None:
    """Return the adversary with the weights of the checkpoint, where it has some. Raises UserError for others."""
    adversary = build_adversary(config)
    if adversary is not None and adversary.learns and checkpoint.adversary is not None:
        try:
            adversary.load_state_dict(checkpoint.adversary)
        except RuntimeError:
            saved = checkpoint.config.model.adversary
            raise UserError(
                f"model.adversary: expected that of model.init, {saved.type} of {saved.channels} channels, found "
                f"{config.model.adversary.type} of {config.model.adversary.channels}"
            ) from None
    return adversary


def _build_below(checkpoint: Checkpoint, config: Config, classes: tuple[str, ...]) -> tuple[tuple[str, ...], Detector]:
    """Build the detector over which a checkpoint is loaded, with lines on its own weights.

    model.backbone.weights is read only if the checkpoint leaves any of its tensors.
    """
    weights = config.model.backbone.weights
    if weights is None:
        return (), build_uninitialized(config, classes)
    pretrained = pretrained_tensors(config, classes)
    detector = build_uninitialized(config, classes)
    transferred = transfer(detector.state_dict(), checkpoint.weights, classes, checkpoint.classes)
    if pretrained <= transferred.loaded:
        return (f"initial weights: {weights} not read: model.init has all {len(pretrained)} of its tensors",), detector
    detector, report = build_detector(config, classes)
    return _report_lines(report), detector


def _report_lines(report: WeightsReport | None) -> tuple[str, ...]:
    return () if report is None else (f"initial weights: {report}",)


def without_svm_features(config: Config) -> Config:
    """Return the configuration of the network that is trained before the SVMs are fitted on some of its features."""
    head = config.model.head.model_copy(update={"svm_features": None})
    return config.model_copy(update={"model": config.model.model_copy(update={"head": head})})


def _read_matching_checkpoint(model: Path, config: Config) -> Checkpoint:
    """Read the checkpoint of a file, a run folder or the zoo; raise UserError unless its backbone is as configured.

    The classes may differ.
    """
    try:
        saved, file = read_model(model)
    except UserError as error:
        raise UserError(f"model.init: {error}") from None
    for key in ("name", "norm", "output"):
        expected, actual = (getattr(source.model.backbone, key) for source in (config, saved.config))
        if expected != actual:
            raise UserError(
                f"model.init: {file}: expected model.backbone.{key} {expected} as configured, found {actual}"
            )
    return saved
