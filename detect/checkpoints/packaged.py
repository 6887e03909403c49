"""A detector to pass on: one .safetensors file with all that detection needs, in half precision, and nothing else.

The texts in its header hold the settings (YAML), the classes, the preprocessing, the model card and a SHA-256 of all
this and of the tensors. The state of the training is left out, and so is every path of the machine that trained it.
A .safetensors file holds no code, and every tool that reads this format can read the weights.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import torch
from torch import Tensor

from detect.checkpoints.checkpoint import Checkpoint
from detect.checkpoints.model_card import ModelCard, parse_card
from detect.checkpoints.renamed_weights import rename_weights
from detect.config import Config
from detect.config.files import parse_config, to_yaml
from detect.config.merge import settings_to_merge
from detect.errors import UserError, first_line
from detect.ops.preprocess import Preprocess
from detect.system.files import require_file, write_bytes
from detect.system.tensor_files import (
    DTYPE_NAMES,
    encode_safetensors,
    read_safetensors,
    read_safetensors_metadata,
    tensor_bytes,
)
from detect.system.yaml_files import parse_yaml
from detect.version import __version__

FORMAT = "detect detector 1"
SUFFIX = ".safetensors"
_TEXTS = ("format", "version", "config", "classes", "preprocess", "step", "metrics", "card", "sha256")
MAX_ROUNDING = 2**-10  # of a tensor's largest element: twice what half precision rounds off in its normal range


@dataclass(frozen=True)
class PackagedFile:
    """What was written.

    size: of the file in bytes; sha256: its checksum; num_half, num_full: tensors in half precision, and those as they
    were.
    """

    size: int
    sha256: str
    num_half: int
    num_full: int


def save_packaged(checkpoint: Checkpoint, card: ModelCard, file: Path) -> PackagedFile:
    """Write a detector to a file, completely or not at all; the same one always gives the same bytes.

    Raises UserError if the name does not end in .safetensors, by which the file is recognized, and RunError.
    """
    if file.suffix != SUFFIX:
        raise UserError(f"{file}: expected a name that ends in {SUFFIX}")
    tensors = {name: _to_half(tensor) for name, tensor in checkpoint.weights.items()}
    texts = {
        "format": FORMAT,
        "version": __version__,
        "config": to_yaml(portable_config(checkpoint.config)),
        "classes": _to_json(checkpoint.classes),
        "preprocess": _to_json(dataclasses.asdict(checkpoint.preprocess)),
        "step": _to_json(checkpoint.step),
        "metrics": _to_json(checkpoint.metrics),
        "card": _to_json(card.model_dump(mode="json")),
    }
    texts["sha256"] = _checksum(texts, tensors)
    content = encode_safetensors(tensors, texts)
    write_bytes(file, content)
    num_half = sum(tensor.dtype == torch.float16 for tensor in tensors.values())
    return PackagedFile(size=len(content), sha256=texts["sha256"], num_half=num_half, num_full=len(tensors) - num_half)


def load_packaged(file: Path) -> Checkpoint:
    """Return the detector in a file of ``save_packaged``, with all weights in single precision.

    Raises UserError, which names the file, if it is another file or is damaged in any bit.
    """
    texts = _read_texts(file)
    tensors = read_safetensors(file)
    if texts["sha256"] != _checksum(texts, tensors):
        raise UserError(f"{file}: damaged: its content does not match its checksum")
    weights = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    try:
        return _parse_checkpoint(texts, rename_weights(weights), str(file))
    except (ValueError, TypeError, AttributeError) as error:  # a checksum is no proof of who wrote the file
        raise UserError(f"{file}: expected the settings of a detector, found {first_line(error)}") from None


def _parse_checkpoint(texts: Mapping[str, str], weights: dict[str, Tensor], source: str) -> Checkpoint:
    """Return the checkpoint of the texts in a header. Raises UserError, and ValueError and others for foreign texts."""
    preprocess: dict[str, Any] = {
        name: tuple(setting) if isinstance(setting, list) else setting
        for name, setting in json.loads(texts["preprocess"]).items()
    }
    return Checkpoint(
        config=parse_config(parse_yaml(texts["config"]), source),
        classes=tuple(json.loads(texts["classes"])),
        preprocess=Preprocess(**preprocess),
        weights=weights,
        step=json.loads(texts["step"]),
        metrics=json.loads(texts["metrics"]),
    )


def read_card(file: Path) -> ModelCard:
    """Return the model card of a file of ``save_packaged``, without its weights. Raises UserError."""
    try:
        content = json.loads(_read_texts(file)["card"])
    except ValueError as error:
        raise UserError(f"{file}: damaged: expected a model card in JSON, found {error}") from None
    return parse_card(content, str(file))


def portable_config(config: Config) -> Config:
    """Return the settings without initial weights, and with the name alone of every path of this machine.

    The weights are in the file itself, so that ``model.init`` and ``model.backbone.weights`` have done their work. Of
    an absolute path that ends in VOC2007 remains VOC2007, which says what the data were and leads nowhere.
    """
    backbone = config.model.backbone.model_copy(update={"weights": None})
    model = config.model.model_copy(update={"init": None, "backbone": backbone})
    plain = settings_to_merge(config.model_copy(update={"model": model}))
    return Config.model_validate(_without_folders(plain))


def _without_folders(setting: Any) -> Any:
    """Return nested settings with the last part of every path that is absolute or leads out of its folder."""
    if isinstance(setting, dict):
        return {key: part if key == "classes" else _without_folders(part) for key, part in setting.items()}
    if isinstance(setting, list):
        return [_without_folders(part) for part in setting]
    if not isinstance(setting, str):
        return setting
    path = PureWindowsPath(setting)  # which also splits at /
    leads_away = PurePosixPath(setting).is_absolute() or path.is_absolute() or ".." in path.parts
    return (path.name.replace("..", "") or ".") if leads_away else setting


def _read_texts(file: Path) -> dict[str, str]:
    """Return the texts in the header; UserError if they are not those of ``save_packaged``."""
    texts = read_safetensors_metadata(require_file(file, "a packaged detector"))
    written = texts.get("format", "other tensors")
    if written != FORMAT:
        raise UserError(f"{file}: expected a {FORMAT}, as detect model export writes it, found {written}")
    missing = [name for name in _TEXTS if name not in texts]
    if missing:
        raise UserError(f'{file}: damaged: expected "{missing[0]}" in its header, found none')
    return texts


def _to_half(tensor: Tensor) -> Tensor:
    """Return a kernel or matrix in half precision, if that rounds it off by no more than it must.

    Vectors stay as they are: biases and the statistics of norms are 0.6% of the elements (MobileNetV2), and variances
    may be too large or too small for half precision.
    """
    if not tensor.is_floating_point() or tensor.dim() < 2 or not tensor.numel():
        return tensor
    half = tensor.half()
    fits = (half.float() - tensor).abs().max() <= MAX_ROUNDING * tensor.abs().max()
    return half if fits else tensor


def _checksum(texts: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of all texts but the checksum itself, and of all tensors, in hexadecimal."""
    covered = {name: text for name, text in sorted(texts.items()) if name != "sha256"}
    digest = hashlib.sha256(_to_json(covered).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(_to_json([name, DTYPE_NAMES[tensor.dtype], list(tensor.shape)]).encode())
        digest.update(tensor_bytes(tensor))
    return digest.hexdigest()


def _to_json(content: object) -> str:
    return json.dumps(content, ensure_ascii=False)
