"""Weights of checkpoints that older versions wrote, under the present names of their modules."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

RENAMED_WEIGHTS = {  # first part of an old name -> first part of the present one
    "proposer.head.hidden.": "proposer.head.conv.",
    "proposer.head.further.": "proposer.head.more_convs.",
}


def rename_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict of a detector with the present names of all tensors, in the same order."""
    return {_present_name(name): tensor for name, tensor in weights.items()}


def _present_name(name: str) -> str:
    """Return the present name of a tensor; a name that has not changed is returned as it is."""
    for old, new in RENAMED_WEIGHTS.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name
