"""Pretrained weights of a backbone: torchvision's, timm's or a package's by name, or a file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from torch import nn
from torchvision import models

from detect.errors import UserError, did_you_mean, first_line
from detect.models.backbones.packaged_weights import PACKAGED, load_packaged, packaged_file
from detect.models.backbones.registry import NATIVE
from detect.models.backbones.resnet_names import to_torchvision_name
from detect.models.backbones.timm_names import DEFAULT, TIMM_PREFIX, pretrained_cfg, weight_tags
from detect.system.tensor_files import StateDict, load_published, load_tensors

# torchvision's published DenseNets have norm.1 for norm1, and conv.2 for conv2
DENSENETS_OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")
MIN_MATCH = 0.9  # of the network's tensors below its classifier; with fewer the file belongs to another network


@dataclass(frozen=True)
class WeightsReport:
    """The result of loading weights: how many tensors matched, and which were missing, unexpected or of wrong shape."""

    source: str
    matched: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    wrong_shape: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{self.source}: {self.matched} tensors matched"]
        for label, names in (
            ("missing, keep their random weights", self.missing),
            ("not used", self.unexpected),
            ("of another shape, not used", self.wrong_shape),
        ):
            if names:
                names_text = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
                parts.append(f"{len(names)} {label} ({names_text})")
        return "; ".join(parts)


def load_pretrained(model: nn.Module, network: str, weights: str) -> WeightsReport:
    """Load pretrained weights into a full network, by their published name or from a .pth, .safetensors or .pkl file.

    A file may contain the full network or its ``features`` alone, with or without that prefix. A ResNet's tensors may
    have torchvision's, detectron2's or Caffe2's names; timm's networks have timm's.
    Raises UserError where the name is unknown, the file is not readable, or too few tensors match.
    """
    state = _load_by_name(network, weights) if _is_name(weights) else load_tensors(Path(weights))
    if not network.startswith(TIMM_PREFIX):
        state = {to_torchvision_name(DENSENETS_OLD_NAME.sub(r"\1\2.", name)): tensor for name, tensor in state.items()}
    model_state = model.state_dict()
    counted = {name for name in model_state if not name.endswith("num_batches_tracked")}
    if not counted & state.keys():
        state = {f"features.{name}": tensor for name, tensor in state.items()}
    wrong_shape = tuple(name for name in sorted(counted & state.keys()) if state[name].shape != model_state[name].shape)
    matched = {name: tensor for name, tensor in state.items() if name in model_state and name not in wrong_shape}
    report = WeightsReport(
        weights,
        len(matched.keys() & counted),
        tuple(sorted(counted - state.keys())),
        tuple(sorted(state.keys() - model_state.keys())),
        wrong_shape,
    )
    below = [name for name in counted if not name.startswith(("classifier", "fc"))]
    num_matched = sum(name in matched for name in below)
    if num_matched < MIN_MATCH * len(below):
        raise UserError(
            f"model.backbone.weights: {weights}: expected the weights of {network}, "
            f"found {num_matched} of its {len(below)} tensors"
        )
    model.load_state_dict(matched, strict=False)
    return report


def _is_name(weights: str) -> bool:
    """Return whether ``weights`` is a published name; a file has a folder or a suffix."""
    return "/" not in weights and "\\" not in weights and "." not in weights


def _load_by_name(network: str, weights: str) -> StateDict:
    """Return the published tensors of a name of torchvision's, timm's or a package's; UserError for an unknown name."""
    if network.startswith(TIMM_PREFIX):
        return load_timm_weights(network.removeprefix(TIMM_PREFIX), weights)
    if network in PACKAGED and (network in NATIVE or _is_installed(network, weights)):
        return load_packaged(network, weights)
    if network in NATIVE:
        raise UserError(f"model.backbone.weights: {weights}: torchvision has no weights for {network}")
    known = models.get_model_weights(network)
    names = [entry.name for entry in known] + ["DEFAULT"]
    if weights not in names:
        raise UserError(
            f"model.backbone.weights: expected one of {', '.join(names)}, or a file, found {weights}"
            f"{did_you_mean(weights, names)}"
        )
    return load_published(known[weights], f"model.backbone.weights: {weights}")


def _is_installed(network: str, weights: str) -> bool:
    """Return whether the named weights of one of torchvision's networks are in a package that is installed."""
    return weights == PACKAGED[network].name and packaged_file(PACKAGED[network]) is not None


def load_timm_weights(name: str, weights: str) -> StateDict:
    """Return timm's published tensors for ``weights``, a tag such as a1_in1k or DEFAULT, without the classifier's.

    ``name`` is without TIMM_PREFIX; the tensors have timm's names. Raises UserError where timm has no such tag, and
    where they cannot be downloaded.
    """
    tags = weight_tags(name)
    cfg = pretrained_cfg(name, weights)
    if cfg is None or not tags:
        raise UserError(f"model.backbone.weights: {weights}: timm has no weights for {TIMM_PREFIX}{name}: name a file")
    if weights not in (*tags, DEFAULT):
        raise UserError(
            f"model.backbone.weights: expected one of timm's tags for {TIMM_PREFIX}{name} ({', '.join(tags)}), "
            f"{DEFAULT}, or a file, found {weights}{did_you_mean(weights, tags)}"
        )
    from timm import create_model

    try:
        model = create_model(name.partition(".")[0], pretrained=True, pretrained_cfg=cfg.tag, num_classes=0)
    except Exception as error:
        reason = first_line(error)
        location = cfg.hf_hub_id or cfg.url
        raise UserError(
            f"model.backbone.weights: {weights}: timm could not fetch {location} ({reason}); "
            "name a .safetensors or .pth file"
        ) from None
    state: StateDict = model.state_dict()
    return state
