"""Checkpoints: one file with everything that a model needs, and in last.pt also the state of its training."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from detect.checkpoints.renamed_weights import rename_weights
from detect.config import Config, to_dict
from detect.config.files import parse_config
from detect.errors import UserError, did_you_mean
from detect.ops.preprocess import Preprocess
from detect.system.checksums import load_with_checksum, save_with_checksum
from detect.system.files import require_file
from detect.version import __version__

FORMAT = "detect checkpoint 2"
_FORMAT_WITHOUT_CHECKSUM = "detect checkpoint 1"  # older: only the parts of its archive have checksums
_CONTENT = {"config": dict, "classes": list, "preprocess": dict, "weights": dict, "step": int, "metrics": dict}


@dataclass(frozen=True)
class Checkpoint:
    """A detector with its settings.

    config: settings it was trained with; classes: names of the K classes; preprocess: preprocessing of its input;
    weights: state dict of the detector, for detection; step: optimizer steps done; metrics: of these weights, on the
    validation data; training: state that ``--resume`` needs, or None; adversary: state dict of the adversary that it
    was trained against, None for none; detecting does not need it.
    """

    config: Config
    classes: tuple[str, ...]
    preprocess: Preprocess
    weights: dict[str, Tensor]
    step: int
    metrics: dict[str, float | None]
    training: dict[str, Any] | None = None
    adversary: dict[str, Tensor] | None = None


def save_checkpoint(checkpoint: Checkpoint, file: Path) -> None:
    """Write the checkpoint to a file, completely or not at all. Raises RunError."""
    content = {
        "format": FORMAT,
        "version": __version__,
        "config": to_dict(checkpoint.config),
        "classes": list(checkpoint.classes),
        "preprocess": dataclasses.asdict(checkpoint.preprocess),
        "weights": checkpoint.weights,
        "step": checkpoint.step,
        "metrics": checkpoint.metrics,
        "training": checkpoint.training,
    }
    if checkpoint.adversary is not None:
        content["adversary"] = checkpoint.adversary
    save_with_checksum(file, content)


def load_checkpoint(file: Path) -> Checkpoint:
    """Return the checkpoint in a file. Settings and weights of older versions get their present names.

    Raises UserError, which names the file, if it is not a checkpoint, is damaged in any bit, or has another format.
    """
    content, has_checksum = load_with_checksum(file, "a checkpoint")
    is_dict = isinstance(content, dict)
    file_format = content.get("format", "another file of torch.save") if is_dict else type(content).__name__
    if file_format == FORMAT and not has_checksum:
        raise UserError(f"{file}: damaged: expected a checksum at its end, found none")
    if file_format not in (FORMAT, _FORMAT_WITHOUT_CHECKSUM):
        raise UserError(f"{file}: expected a {FORMAT}, found {file_format}")
    missing = [name for name, kind in _CONTENT.items() if not isinstance(content.get(name), kind)]
    if missing:
        raise UserError(
            f'{file}: expected a {FORMAT} with "{missing[0]}", found none{did_you_mean(missing[0], content)}'
        )
    try:
        preprocess = Preprocess(**content["preprocess"])
    except TypeError as error:
        raise UserError(f"{file}: expected the preprocessing of a detector, found another: {error}") from None
    training = content.get("training")
    if isinstance(training, dict) and isinstance(training.get("weights"), dict):
        training = training | {"weights": rename_weights(training["weights"])}
    return Checkpoint(
        config=parse_config(content["config"], str(file)),
        classes=tuple(content["classes"]),
        preprocess=preprocess,
        weights=rename_weights(content["weights"]),
        step=content["step"],
        metrics=content["metrics"],
        training=training,
        adversary=content.get("adversary"),
    )


def find_checkpoint(model: Path) -> Path:
    """Return the checkpoint file of MODEL on the command line.

    model: the file itself, or a run folder, of which best.pt is taken, else last.pt.

    Raises UserError if there is none.
    """
    if model.is_dir():
        for name in ("best.pt", "last.pt"):
            if (model / name).is_file():
                return model / name
        raise UserError(f"{model}: expected a run folder with best.pt or last.pt, found neither")
    return require_file(model, "a run folder or a checkpoint")
