"""What timm knows by name: its networks, which of them can be cut here, their published weights.

timm is imported by who asks for a name, as it takes seconds and need not be there.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from detect.errors import UserError, nearest

if TYPE_CHECKING:
    from timm.models import PretrainedCfg

PREFIX = "timm:"  # of the name of a backbone; the functions here take names without it
DEFAULT = "DEFAULT"  # as torchvision calls the weights that it recommends

# module of timm's -> side of the region map that the tail gets: as in torchvision_nets for the same kind of network
FAMILIES = {
    **dict.fromkeys(("resnet", "resnetv2", "res2net", "resnest", "sknet", "senet", "regnet", "byobnet", "nfnet"), 14),
    **dict.fromkeys(("cspnet", "hgnet", "dla", "densenet", "convnext", "inception_next", "metaformer"), 14),
    **dict.fromkeys(("edgenext", "fastvit", "starnet"), 14),
    **dict.fromkeys(("vgg", "efficientnet", "mobilenetv3", "hardcorenas", "ghostnet", "rexnet"), 7),
}


def check_timm_name(name: str) -> None:
    """Raise UserError unless ``name`` is a network that can be cut; a tag of its weights may follow.

    "resnet18" and "resnet18.a1_in1k" are names.
    """
    key = f"model.backbone.name: {PREFIX}{name}"
    if importlib.util.find_spec("timm") is None:
        raise UserError(f"{key}: expected the package timm, found none; cure: pip install timm")
    from timm import list_models

    architecture = name.partition(".")[0]
    if architecture not in list_models():
        raise UserError(f"{key}: expected a name of timm's, found {architecture}{nearest(architecture, list_models())}")
    if timm_family(name) not in FAMILIES:
        raise UserError(f"{key}: expected a row of stages, of timm's {', '.join(FAMILIES)}, found {timm_family(name)}")
    if name not in (architecture, *_tagged(name)):
        raise UserError(f"{key}: expected one of timm's tags, found {name}{nearest(name, _tagged(name))}")


def weight_tags(name: str) -> list[str]:
    """The published weights of an architecture, timm's default first, without the architecture's name."""
    from timm.models import get_arch_pretrained_cfgs, get_pretrained_cfg

    default = get_pretrained_cfg(name.partition(".")[0])
    tags = [each.tag for each in get_arch_pretrained_cfgs(name).values() if each.has_weights and each.tag]
    return sorted(tags, key=lambda tag: default is None or tag != default.tag)


def pretrained_cfg(name: str, weights: str | None) -> PretrainedCfg | None:
    """What timm tells of ``weights``, a tag or DEFAULT, and where they are none, or a file, of the name's own.

    None where timm is not installed or knows no such network or weights.
    """
    if importlib.util.find_spec("timm") is None:
        return None
    from timm.models import get_arch_pretrained_cfgs, get_pretrained_cfg, is_model

    wanted = f"{name.partition('.')[0]}.{weights}"
    tagged = get_arch_pretrained_cfgs(name)
    if wanted in tagged:
        return tagged[wanted]
    return get_pretrained_cfg(name) if is_model(name) and ("." not in name or name in tagged) else None


def _tagged(name: str) -> list[str]:
    from timm.models import get_arch_pretrained_cfgs

    return list(get_arch_pretrained_cfgs(name))


def timm_family(name: str) -> str:
    """The module of timm's that a network is in."""
    from timm.models import model_entrypoint

    return str(model_entrypoint(name).__module__).rpartition(".")[2]
