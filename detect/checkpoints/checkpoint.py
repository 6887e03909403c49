"""Checkpoints: one file with everything a model needs, and in last.pt everything its training needs to go on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from detect.config import Config, as_plain
from detect.config.files import parse
from detect.errors import UserError, nearest
from detect.ops.preprocess import Preprocess
from detect.system.checksums import read_sealed, write_sealed
from detect.system.files import existing_file
from detect.version import __version__

FORMAT = "detect checkpoint 2"
_UNSEALED = "detect checkpoint 1"  # of before the seal: only the parts of its archive have checksums
_CONTENT = {"config": dict, "classes": list, "preprocess": dict, "weights": dict, "step": int, "metrics": dict}


@dataclass(frozen=True)
class Checkpoint:
    """config: as it was trained; classes: the K names; preprocess: the rule for its input; weights: the detector's,
    those to detect with; metrics: of these weights, on the validation data; training: what ``--resume`` needs, or
    None.
    """

    config: Config
    classes: tuple[str, ...]
    preprocess: Preprocess
    weights: dict[str, Tensor]
    step: int
    metrics: dict[str, float | None]
    training: dict[str, Any] | None = None


def save_checkpoint(checkpoint: Checkpoint, file: Path) -> None:
    """Write whole or not at all."""
    content = {
        "format": FORMAT,
        "version": __version__,
        "config": as_plain(checkpoint.config),
        "classes": list(checkpoint.classes),
        "preprocess": dataclasses.asdict(checkpoint.preprocess),
        "weights": checkpoint.weights,
        "step": checkpoint.step,
        "metrics": checkpoint.metrics,
        "training": checkpoint.training,
    }
    write_sealed(file, content)


def load_checkpoint(file: Path) -> Checkpoint:
    """Read and check one; UserError names the file where it is none, damaged in any bit, or of another format."""
    content, has_seal = read_sealed(file, "a checkpoint")
    found = content.get("format", "another file of torch.save") if isinstance(content, dict) else type(content).__name__
    if found == FORMAT and not has_seal:
        raise UserError(f"{file}: damaged: expected a checksum at its end, found none")
    if found not in (FORMAT, _UNSEALED):
        raise UserError(f"{file}: expected a {FORMAT}, found {found}")
    missing = [name for name, kind in _CONTENT.items() if not isinstance(content.get(name), kind)]
    if missing:
        raise UserError(f'{file}: expected a {FORMAT} with "{missing[0]}", found none{nearest(missing[0], content)}')
    try:
        preprocess = Preprocess(**content["preprocess"])
    except TypeError as error:
        raise UserError(f"{file}: expected the rule for a detector's input, found another: {error}") from None
    return Checkpoint(
        config=parse(content["config"], str(file)),
        classes=tuple(content["classes"]),
        preprocess=preprocess,
        weights=content["weights"],
        step=content["step"],
        metrics=content["metrics"],
        training=content.get("training"),
    )


def find_checkpoint(model: Path) -> Path:
    """MODEL on the command line: a checkpoint file, or a run folder, whose best.pt (else last.pt) is meant."""
    if model.is_dir():
        for name in ("best.pt", "last.pt"):
            if (model / name).is_file():
                return model / name
        raise UserError(f"{model}: expected a run folder with best.pt or last.pt, found neither")
    return existing_file(model, "a run folder or a checkpoint")
