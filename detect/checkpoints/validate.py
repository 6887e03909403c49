"""What every import asks of a file: names for its labels, and all tensors of the detector that they are for."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from detect.checkpoints.fold_norms import COUNTER
from detect.config import Config
from detect.config.builders.detector import empty_detector
from detect.errors import UserError
from detect.system.tensor_files import State


def class_names(
    number: int, source: str, given: Sequence[str] | None, usual: Sequence[tuple[str, ...]]
) -> tuple[str, ...]:
    """The names of ``number`` labels: those that were given, else the one of the ``usual`` lists that is as long."""
    if given is None:
        found = next((names for names in usual if len(names) == number), None)
        if found is None:
            raise UserError(f"--classes: expected the names of the {number} classes of {source}, found none")
        return found
    if len(given) != number or len(set(given)) != number:
        raise UserError(f"--classes: expected {number} different names for {source}, found {', '.join(given)}")
    return tuple(given)


def checked(weights: State, config: Config, classes: tuple[str, ...], expected: str) -> State:
    """The tensors of a detector of these settings, all of them and of their shapes; counters may be missing.

    ``expected`` begins the UserError where that is not so.
    """
    with torch.device("meta"):
        own = empty_detector(config, classes).state_dict()
    whole = {name: torch.tensor(0) for name in own if name.endswith(COUNTER)} | weights
    misshapen = sorted(name for name in own.keys() & whole.keys() if own[name].shape != whole[name].shape)
    problems = [
        (what, names)
        for what, names in (
            ("missing", sorted(own.keys() - whole.keys())),
            ("left over", sorted(name for name in whole.keys() - own.keys() if not name.endswith(COUNTER))),
            ("of another shape", misshapen),
        )
        if names
    ]
    if problems:
        found = "; ".join(f"{len(names)} {what} ({names[0]}{', ...' * (len(names) > 1)})" for what, names in problems)
        raise UserError(f"{expected}, found by our names {found}")
    return {name: whole[name] for name in own}
