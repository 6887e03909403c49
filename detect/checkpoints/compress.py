"""Compress the fully connected layers of a trained detector's tail by truncated SVD (Fast R-CNN, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from detect.checkpoints.checkpoint import Checkpoint
from detect.checkpoints.zoo import read_model
from detect.config.builders.detector import build_uninitialized
from detect.errors import UserError
from detect.models.heads.low_rank import linear_layers, replace_linears, truncated_svd

MIN_RANK = 64  # at rank 12 the quick configuration's second layer of 192 x 192 loses 12 points of AP50


@dataclass(frozen=True)
class CompressedModel:
    """A compressed model.

    checkpoint: the smaller model; ranks: of each compressed layer; cost_before, cost_after: multiplications of these
    layers for one region.
    """

    checkpoint: Checkpoint
    ranks: tuple[int, ...]
    cost_before: int
    cost_after: int


def compress(model: Path, ranks: Sequence[int] | None = None) -> CompressedModel:
    """Replace the tail's fully connected layers by their truncated SVD (Fast R-CNN, section 4.4), without training.

    ranks: of each layer in order; None takes the paper's proportions, a quarter of the outputs for the first layer and
    a sixteenth for the next (1,024 and 256 for VGG16), but not less than MIN_RANK. The metrics of the model are
    removed, since they do not hold for the compressed one. Raises UserError for a model without such layers, or one
    that was compressed before.
    """
    saved, file = read_model(model)
    if saved.config.model.head.svd_ranks is not None:
        raise UserError(f"{file}: expected a model that is not compressed, found one that was compressed before")
    detector = build_uninitialized(saved.config, saved.classes)
    detector.load_state_dict(saved.weights)
    tails = [stage.tail for stage in detector.head.stages]
    layers = linear_layers(tails[0])  # those of the other stages of a cascade are alike
    if not layers:
        raise UserError(f"{file}: expected a tail with fully connected layers, found none")
    layer_ranks = tuple(ranks) if ranks is not None else _default_ranks(layers)
    pairs = list(zip(layers, layer_ranks, strict=False))
    cost_before = len(tails) * sum(layer.in_features * layer.out_features for layer, _ in pairs)
    cost_after = len(tails) * sum(rank * (layer.in_features + layer.out_features) for layer, rank in pairs)
    try:
        for tail in tails:
            replace_linears(tail, layer_ranks, truncated_svd)
    except ValueError as error:
        raise UserError(f"--ranks: {error}") from None
    model_settings = saved.config.model
    head_settings = model_settings.head.model_copy(update={"svd_ranks": layer_ranks})
    config = saved.config.model_copy(update={"model": model_settings.model_copy(update={"head": head_settings})})
    compressed = replace(saved, config=config, weights=detector.state_dict(), metrics={}, training=None)
    return CompressedModel(compressed, layer_ranks, cost_before, cost_after)


def _default_ranks(layers: Sequence[nn.Linear]) -> tuple[int, ...]:
    """Return the paper's ranks, but at least MIN_RANK where a layer has so many outputs: small layers lose more."""
    return tuple(
        max(min(MIN_RANK, layer.out_features), layer.out_features // (4 if first else 16))
        for layer, first in zip(layers, [True] + [False] * (len(layers) - 1), strict=True)
    )
