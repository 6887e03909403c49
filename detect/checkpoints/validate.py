"""Check an imported file: names for its labels, and all tensors of the detector that they are for."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from detect.checkpoints.fold_norms import BATCH_COUNTER
from detect.config import Config
from detect.config.builders.detector import build_uninitialized
from detect.errors import UserError
from detect.system.tensor_files import StateDict


def class_names(
    num_classes: int, source: str, names: Sequence[str] | None, defaults: Sequence[tuple[str, ...]]
) -> tuple[str, ...]:
    """Return the class names: ``names`` without blanks at their ends, or if it is None the one of the ``defaults`` that
    is as long.

    Raises UserError if there are not ``num_classes`` different names.
    """
    if names is None:
        default = next((default for default in defaults if len(default) == num_classes), None)
        if default is None:
            raise UserError(f"--classes: expected the names of the {num_classes} classes of {source}, found none")
        return default
    stripped = tuple(name.strip() for name in names)
    if len(stripped) != num_classes or len(set(stripped)) != num_classes or "" in stripped:
        listed = ", ".join(name or '""' for name in stripped)
        raise UserError(f"--classes: expected {num_classes} different names for {source}, found {listed}")
    return stripped


def require_complete(weights: StateDict, config: Config, classes: tuple[str, ...], expected: str) -> StateDict:
    """Return the state dict of a detector of these settings, in its order; batch counters may be missing.

    Raises UserError, which starts with ``expected``, if a tensor is missing, unexpected or of another shape, or has a
    number that is not finite: a network of such would detect nothing.
    """
    with torch.device("meta"):
        reference = build_uninitialized(config, classes).state_dict()
    complete = {name: torch.tensor(0) for name in reference if name.endswith(BATCH_COUNTER)} | weights
    missing = sorted(reference.keys() - complete.keys())
    unexpected = sorted(name for name in complete.keys() - reference.keys() if not name.endswith(BATCH_COUNTER))
    wrong_shape = sorted(
        name for name in reference.keys() & complete.keys() if reference[name].shape != complete[name].shape
    )
    not_finite = sorted(
        name
        for name in reference.keys() & complete.keys()
        if not complete[name].is_meta and not bool(complete[name].isfinite().all())
    )
    by_problem = {
        "missing": missing,
        "unexpected": unexpected,
        "of another shape": wrong_shape,
        "with NaN or infinity": not_finite,
    }
    problems = [
        f"{len(names)} {problem} ({names[0]}{', ...' * (len(names) > 1)})"
        for problem, names in by_problem.items()
        if names
    ]
    if problems:
        raise UserError(f"{expected}, found by our names {'; '.join(problems)}")
    return {name: complete[name] for name in reference}
