"""Weights that timm publishes, by their tag: fetched, kept and read by timm's own code."""

from __future__ import annotations

from detect.errors import UserError, nearest
from detect.models.backbones.timm_names import DEFAULT, PREFIX, pretrained_cfg, weight_tags
from detect.system.tensor_files import State


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
