"""The adversary in a checkpoint, beside the weights of the detector that was trained against it."""

from __future__ import annotations

from pathlib import Path

from detect.checkpoints.checkpoint import load_checkpoint
from detect.config.builders.adversary import build_adversary
from detect.errors import UserError
from detect.models.adversaries.adversary import Adversary


def load_adversary(file: Path) -> Adversary:
    """Return the adversary of a checkpoint, on the CPU. Raises UserError if it has none that was trained."""
    saved = load_checkpoint(file)
    adversary = build_adversary(saved.config)
    if adversary is None or not saved.adversary:
        raise UserError(
            f"{file}: expected a detector trained against an adversary (model.adversary.type asdn, astn or both), "
            f"found {saved.config.model.adversary.type}"
        )
    adversary.load_state_dict(saved.adversary)
    return adversary.eval()
