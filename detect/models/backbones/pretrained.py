"""Initial weights of a backbone: torchvision's or timm's by name, or a file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from torch import nn
from torchvision import models

from detect.errors import UserError, nearest
from detect.models.backbones.registry import NOT_TORCHVISION
from detect.models.backbones.resnet_names import torchvision_name
from detect.models.backbones.timm_names import DEFAULT, PREFIX, pretrained_cfg, weight_tags
from detect.system.tensor_files import State, in_file, published


def published_by_timm(name: str, weights: str) -> State:
    """The tensors of ``weights``, a tag such as a1_in1k or DEFAULT, by timm's names, without the classifier's.

    ``name`` is without PREFIX. UserError where timm has no such tag, and where there is no network.
    """
    tags = weight_tags(name)
    described = pretrained_cfg(name, weights)
    if described is None or not tags:
        raise UserError(f"model.backbone.weights: {weights}: timm has no weights for {PREFIX}{name}: name a file")
    if weights not in (*tags, DEFAULT):
        raise UserError(
            f"model.backbone.weights: expected one of timm's tags for {PREFIX}{name} ({', '.join(tags)}), {DEFAULT}, "
            f"or a file, found {weights}{nearest(weights, tags)}"
        )
    from timm import create_model

    try:
        filled = create_model(name.partition(".")[0], pretrained=True, pretrained_cfg=described.tag, num_classes=0)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        place = described.hf_hub_id or described.url
        raise UserError(
            f"model.backbone.weights: {weights}: timm could not fetch {place} ({reason}); "
            "name a .safetensors or .pth file"
        ) from None
    state: State = filled.state_dict()
    return state


# torchvision's published DenseNets call norm1 norm.1, and conv2 conv.2
DENSENETS_OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")
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
    """Fill a whole network from a weight name of its maker's, or a .pth, .safetensors or .pkl file.

    A file may hold the whole network or its ``features`` alone, with or without that prefix; a ResNet by torchvision's,
    detectron2's or Caffe2's names; timm's networks by timm's.
    Raises UserError where the name or file is not known, unreadable, or matches too little.
    """
    state = _by_name(network, weights) if _is_name(weights) else in_file(Path(weights))
    if not network.startswith(PREFIX):
        state = {torchvision_name(DENSENETS_OLD_NAME.sub(r"\1\2.", name)): value for name, value in state.items()}
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


def _by_name(network: str, weights: str) -> State:
    if network.startswith(PREFIX):
        return published_by_timm(network.removeprefix(PREFIX), weights)
    if network in NOT_TORCHVISION:
        raise UserError(f"model.backbone.weights: {weights}: torchvision has no weights for {network}")
    known = models.get_model_weights(network)
    names = [entry.name for entry in known] + ["DEFAULT"]
    if weights not in names:
        raise UserError(
            f"model.backbone.weights: expected one of {', '.join(names)}, or a file, found {weights}"
            f"{nearest(weights, names)}"
        )
    return published(known[weights], f"model.backbone.weights: {weights}")
