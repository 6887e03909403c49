"""Checkpoints: one file with everything a model needs, and in last.pt everything its training needs to go on."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from detect import __version__
from detect.config import Config, as_plain
from detect.config_files import parse
from detect.errors import UserError, nearest
from detect.files import existing_file, write_bytes
from detect.preprocess import Preprocess

FORMAT = "detect checkpoint 1"
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
    buffer = io.BytesIO()
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
    torch.save(content, buffer)
    write_bytes(file, buffer.getvalue())


def load_checkpoint(file: Path) -> Checkpoint:
    """Read and check one; UserError names the file where it is none, damaged, or of another format."""
    existing_file(file, "a checkpoint")
    content = _read(file)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = (
            content.get("format", "another file of torch.save") if isinstance(content, dict) else type(content).__name__
        )
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


def _read(file: Path) -> Any:
    """torch.load after the archive's own checksums: torch does not look at them, so a flipped bit would load."""
    try:
        with zipfile.ZipFile(file) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise UserError(f"{file}: damaged: {broken} does not match its checksum")
        return torch.load(file, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{file}: expected a checkpoint, found an unreadable file ({reason})") from None
