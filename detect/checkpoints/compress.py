"""A trained detector with the fully connected layers of its tail made thin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from detect.checkpoints.checkpoint import Checkpoint, find_checkpoint, load_checkpoint
from detect.config.builders.detector import empty_detector
from detect.errors import UserError
from detect.models.heads.low_rank import approximate, linear_layers, make_thin
from detect.models.heads.rcnn import FittedHead
from detect.models.heads.softmax import SoftmaxHead

LEAST_RANK = 64  # at rank 12 the quick configuration's second layer of 192 x 192 loses 12 points of AP50


@dataclass(frozen=True)
class Compressed:
    """checkpoint: the smaller model; before, after: multiplications of the layers that changed, for one region."""

    checkpoint: Checkpoint
    ranks: tuple[int, ...]
    before: int
    after: int


def compress(model: Path, ranks: Sequence[int] | None = None) -> Compressed:
    """Truncated SVD of the tail's fully connected layers (Fast R-CNN, section 4.4); nothing is trained.

    ranks: of each layer in order; None takes the paper's proportions, a quarter of the outputs for the first layer and
    a sixteenth for the next (1,024 and 256 for VGG16), but no less than LEAST_RANK. The metrics of the model are
    dropped: they are not this one's. Raises UserError for a model without such layers, or one that was compressed
    before.
    """
    file = find_checkpoint(model)
    saved = load_checkpoint(file)
    if saved.config.model.head.ranks is not None:
        raise UserError(f"{file}: expected a model as it was trained, found one that was compressed before")
    detector = empty_detector(saved.config, saved.classes)
    detector.load_state_dict(saved.weights)
    head = detector.head
    assert isinstance(head, SoftmaxHead | FittedHead)
    layers = linear_layers(head.tail)
    if not layers:
        raise UserError(f"{file}: expected a tail with fully connected layers, found none")
    wanted = tuple(ranks) if ranks is not None else _proportional(layers)
    before = sum(layer.in_features * layer.out_features for layer in layers[: len(wanted)])
    after = sum(rank * (layer.in_features + layer.out_features) for layer, rank in zip(layers, wanted, strict=False))
    try:
        make_thin(head.tail, wanted, approximate)
    except ValueError as error:
        raise UserError(f"--ranks: {error}") from None
    model_settings = saved.config.model
    head_settings = model_settings.head.model_copy(update={"ranks": wanted})
    config = saved.config.model_copy(update={"model": model_settings.model_copy(update={"head": head_settings})})
    thinner = replace(saved, config=config, weights=detector.state_dict(), metrics={}, training=None)
    return Compressed(thinner, wanted, before, after)


def _proportional(layers: Sequence[nn.Linear]) -> tuple[int, ...]:
    """The paper's shares, but small layers have less to spare: LEAST_RANK where the layer has as many."""
    return tuple(
        max(min(LEAST_RANK, layer.out_features), layer.out_features // (4 if first else 16))
        for layer, first in zip(layers, [True] + [False] * (len(layers) - 1), strict=True)
    )
