"""timm's networks by name: which of them can be split into stages here, and their published weights.

timm is imported inside the functions, because the import takes seconds and timm is optional.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from detect.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from timm.models import PretrainedCfg

TIMM_PREFIX = "timm:"  # of a backbone's name; the functions here take names without it
DEFAULT = "DEFAULT"  # torchvision's name of the weights that it recommends

# timm's module -> pool_size of its tail, the same as in torchvision_nets for the same kind of network
POOL_SIZE_BY_FAMILY = {
    **dict.fromkeys(("resnet", "resnetv2", "res2net", "resnest", "sknet", "senet", "regnet", "byobnet", "nfnet"), 14),
    **dict.fromkeys(("cspnet", "hgnet", "dla", "densenet", "convnext", "inception_next", "metaformer"), 14),
    **dict.fromkeys(("edgenext", "fastvit", "starnet"), 14),
    **dict.fromkeys(("vgg", "efficientnet", "mobilenetv3", "hardcorenas", "ghostnet", "rexnet"), 7),
}


def require_timm_name(name: str) -> None:
    """Raise UserError unless ``name`` is a network that can be split; a tag of its weights may follow.

    Both "resnet18" and "resnet18.a1_in1k" are valid.
    """
    key = f"model.backbone.name: {TIMM_PREFIX}{name}"
    if importlib.util.find_spec("timm") is None:
        raise UserError(f"{key}: expected the package timm, found none; fix: pip install timm")
    from timm import list_models

    architecture = name.partition(".")[0]
    if architecture not in list_models():
        raise UserError(
            f"{key}: expected a name of timm's, found {architecture}{did_you_mean(architecture, list_models())}"
        )
    family = timm_family(name)
    if family not in POOL_SIZE_BY_FAMILY:
        families = ", ".join(POOL_SIZE_BY_FAMILY)
        raise UserError(f"{key}: expected a network of successive stages, from timm's {families}, found {family}")
    if name not in (architecture, *_tagged_names(name)):
        raise UserError(f"{key}: expected one of timm's tags, found {name}{did_you_mean(name, _tagged_names(name))}")


def weight_tags(name: str) -> list[str]:
    """Return the tags of an architecture's published weights, timm's default first."""
    from timm.models import get_arch_pretrained_cfgs, get_pretrained_cfg

    default = get_pretrained_cfg(name.partition(".")[0])
    tags = [cfg.tag for cfg in get_arch_pretrained_cfgs(name).values() if cfg.has_weights and cfg.tag]
    return sorted(tags, key=lambda tag: default is None or tag != default.tag)


def pretrained_cfg(name: str, weights: str | None) -> PretrainedCfg | None:
    """Return timm's configuration of ``weights``, a tag or DEFAULT; for None or a file, that of the network's name.

    Returns None where timm is not installed or has no such network or weights.
    """
    if importlib.util.find_spec("timm") is None:
        return None
    from timm.models import get_arch_pretrained_cfgs, get_pretrained_cfg, is_model

    tagged_name = f"{name.partition('.')[0]}.{weights}"
    tagged = get_arch_pretrained_cfgs(name)
    if tagged_name in tagged:
        return tagged[tagged_name]
    return get_pretrained_cfg(name) if is_model(name) and ("." not in name or name in tagged) else None


def _tagged_names(name: str) -> list[str]:
    from timm.models import get_arch_pretrained_cfgs

    return list(get_arch_pretrained_cfgs(name))


def timm_family(name: str) -> str:
    """Return the name of timm's module that defines a network."""
    from timm.models import model_entrypoint

    return str(model_entrypoint(name).__module__).rpartition(".")[2]
