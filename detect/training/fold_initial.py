"""The weights from which the detectors of folds begin: they must not have learned the labels that these will judge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from detect.checkpoints.packaged import SUFFIX
from detect.checkpoints.zoo import is_name, read_model, shipped_files
from detect.config import Config
from detect.data.annotations import Annotations
from detect.errors import UserError
from detect.inference.label_review import count_trained_on
from detect.inference.runtimes.sealed_files import SUFFIXES as GRAPH_SUFFIXES
from detect.training.finetuning.initial import SHIPPED


def with_initial_weights(config: Config, model: Path, file: Path) -> Config:
    """Return the settings of MODEL with a ``model.init`` where its file has lost its initial weights, if one fits.

    A packaged detector, a graph and a published detector name none. A published one is itself the beginning. Any other
    may have learned the labels: then it is the detector that ships, if its backbone is the same. file: that of MODEL.
    """
    settings = config.model
    has_weights = settings.init is not None or settings.backbone.weights is not None
    if has_weights or not (is_name(model) or file.suffix in (SUFFIX, *GRAPH_SUFFIXES)):
        return config
    init = model.as_posix() if is_name(model) else SHIPPED if _has_backbone_of_shipped(config) else None
    return config.model_copy(update={"model": settings.model_copy(update={"init": init})})


def describe_initial_weights(config: Config, annotations: Annotations) -> str:
    """Return words on the weights from which each detector of these settings begins.

    Raises UserError if they are those of a detector that was trained on some of the images, or that began itself from
    such a one, and for a ``model.init`` that cannot be read.
    """
    init, weights = config.model.init, config.model.backbone.weights
    if init is None:
        no_others = "random weights, as the model's settings name no others"
        return f"each begins from {no_others if weights is None else f'weights of its backbone alone, {weights}'}"
    counts = [(name, None if known is None else count_trained_on(known, annotations)) for name, known in _lineage(init)]
    for name, count in counts:
        if count:
            raise UserError(
                "--folds: expected a model that did not begin from a detector of these images, which knows their "
                f"labels, found {name}, trained on {count} of {len(annotations)} of them"
            )
    if is_name(Path(init)):
        return f"each begins from {init}, a published detector: it knows these labels if its training data have them"
    if any(count is None for _, count in counts):
        return f"each begins from {init}, whose training images are not on this machine: it may know these labels"
    return f"each begins from {init}, which was not trained on these images"


def _lineage(init: str) -> Iterator[tuple[str, Config | None]]:
    """Yield a detector, that from which it began, and so on, each with its settings; None where they are not here.

    Raises UserError if the first cannot be read. A published one is not read, which may fetch it.
    """
    names: list[str] = []
    next_name: str | None = init
    while next_name is not None and next_name not in names:
        names.append(next_name)
        config = _read_config(next_name, is_needed=len(names) == 1)
        yield next_name, config
        next_name = None if config is None else config.model.init


def _read_config(model: str, *, is_needed: bool) -> Config | None:
    """Return the settings of a detector that is a file; None for a name, and for no file unless one is needed."""
    if is_name(Path(model)):
        return None
    try:
        return read_model(Path(model))[0].config
    except UserError as error:
        if is_needed:
            raise UserError(f"model.init: {error}") from None
        return None


def _has_backbone_of_shipped(config: Config) -> bool:
    """Return whether the weights of the detector that ships are here, and fit the backbone of these settings."""
    if SHIPPED not in shipped_files():
        return False
    shipped = read_model(Path(SHIPPED))[0].config.model.backbone
    return all(getattr(config.model.backbone, key) == getattr(shipped, key) for key in ("name", "norm", "output"))
