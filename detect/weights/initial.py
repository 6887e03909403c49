"""Initial weights of a backbone: torchvision's by name, or a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models

from detect.backbones.registry import NOT_TORCHVISION
from detect.errors import UserError, nearest
from detect.files import existing_file

LEAST_MATCH = 0.9  # of the network's tensors below its classifier; less means the file is of another network


@dataclass(frozen=True)
class WeightsReport:
    """What a file gave a network: how many tensors matched, which were missing, left over, or of another shape."""

    source: str
    matched: int
    missing: tuple[str, ...]
    left_over: tuple[str, ...]
    misshapen: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{self.source}: {self.matched} tensors matched"]
        for what, names in (
            ("missing, left as made", self.missing),
            ("not used", self.left_over),
            ("of another shape, not used", self.misshapen),
        ):
            if names:
                shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
                parts.append(f"{len(names)} {what} ({shown})")
        return "; ".join(parts)


def load_initial(whole: nn.Module, network: str, weights: str) -> WeightsReport:
    """Fill a whole network from a torchvision weight name or a .pth file.

    A file may hold the whole network or its ``features`` alone, with or without that prefix.
    Raises UserError where the name or file is not known, unreadable, or matches too little.
    """
    state = _by_name(network, weights) if _is_name(weights) else _from_file(Path(weights))
    own = whole.state_dict()
    counted = {name for name in own if not name.endswith("num_batches_tracked")}
    if not counted & state.keys():
        state = {f"features.{name}": value for name, value in state.items()}
    misshapen = tuple(name for name in sorted(counted & state.keys()) if state[name].shape != own[name].shape)
    matched = {name: value for name, value in state.items() if name in own and name not in misshapen}
    report = WeightsReport(
        weights,
        len(matched.keys() & counted),
        tuple(sorted(counted - state.keys())),
        tuple(sorted(state.keys() - own.keys())),
        misshapen,
    )
    below = [name for name in counted if not name.startswith(("classifier", "fc"))]
    found = sum(name in matched for name in below)
    if found < LEAST_MATCH * len(below):
        raise UserError(
            f"model.backbone.weights: {weights}: expected the weights of {network}, "
            f"found {found} of its {len(below)} tensors"
        )
    whole.load_state_dict(matched, strict=False)
    return report


def _is_name(weights: str) -> bool:
    return "/" not in weights and "\\" not in weights and "." not in weights


def _by_name(network: str, weights: str) -> dict[str, Tensor]:
    if network in NOT_TORCHVISION:
        raise UserError(f"model.backbone.weights: {weights}: torchvision has no weights for {network}")
    known = models.get_model_weights(network)
    names = [entry.name for entry in known] + ["DEFAULT"]
    if weights not in names:
        raise UserError(
            f"model.backbone.weights: expected one of {', '.join(names)}, or a file, found {weights}"
            f"{nearest(weights, names)}"
        )
    entry = known[weights]
    file = Path(torch.hub.get_dir()) / "checkpoints" / entry.url.rsplit("/", 1)[-1]
    try:
        state: dict[str, Tensor] = entry.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:
        if file.is_file():
            raise UserError(f"{file}: expected the weights from {entry.url}, found {_reason(error)}") from None
        raise UserError(
            f"model.backbone.weights: {weights}: could not fetch {entry.url} ({_reason(error)}); "
            f"put {file.name} into {file.parent}, or name a file"
        ) from None
    return state


def _from_file(file: Path) -> dict[str, Tensor]:
    existing_file(file, "a weights file")
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"{file}: expected weights written by torch.save, found {_reason(error)}") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{file}: expected a state dict of tensors, found {type(state).__name__}")
    return state


def _reason(error: Exception) -> str:
    """The first line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
