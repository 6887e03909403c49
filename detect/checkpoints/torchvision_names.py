"""Convert state dicts of torchvision's Faster and Mask R-CNNs to ours, and back.

The keys differ, and the tensors differ in three places. torchvision orders the anchors of a location by aspect ratio,
then size; we order them by size, then aspect ratio. torchvision's box predictor has deltas for the background class,
and its mask predictor a mask, which are unused. A frozen batch norm has four tensors in torchvision; here it becomes
the scale and shift of FrozenConv2d (``models.backbones.frozen_norm``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch
from torch import Tensor

from detect.checkpoints.fold_norms import fold_norms, rename_by_pattern, unfold_norms
from detect.system.tensor_files import StateDict

KEY_PREFIXES = (  # the first pattern that matches the start of a key counts: torchvision's -> ours
    (r"backbone\.body\.conv1\.", "backbone.body.stages.0.0."),
    (r"backbone\.body\.bn1\.", "backbone.body.stages.0.1."),
    (r"backbone\.body\.layer(\d)\.", r"backbone.body.stages.\1."),
    (
        r"backbone\.body\.(0|1)\.",
        r"backbone.body.stages.0.\1.",
    ),  # MobileNetV3, whose layers are counted over all stages
    (r"backbone\.body\.(2|3)\.", r"backbone.body.stages.1.\1."),
    (r"backbone\.body\.(4|5|6)\.", r"backbone.body.stages.2.\1."),
    (r"backbone\.body\.(7|8|9|10|11|12)\.", r"backbone.body.stages.3.\1."),
    (r"backbone\.body\.(13)\.", r"backbone.body.stages.4.\1."),
    (r"backbone\.body\.(14|15|16)\.", r"backbone.body.stages.5.\1."),
    (r"backbone\.fpn\.inner_blocks\.", "backbone.neck.lateral."),
    (r"backbone\.fpn\.layer_blocks\.", "backbone.neck.smooth."),
    (r"rpn\.head\.conv\.0\.0\.", "proposer.head.conv."),
    (r"rpn\.head\.conv\.1\.0\.", "proposer.head.more_convs.0."),
    (r"rpn\.head\.cls_logits\.", "proposer.head.objectness."),
    (r"rpn\.head\.bbox_pred\.", "proposer.head.deltas."),
    (r"roi_heads\.box_head\.fc6\.", "head.tail.layers.1."),
    (r"roi_heads\.box_head\.fc7\.", "head.tail.layers.3."),
    (r"roi_heads\.box_head\.(\d)\.", r"head.tail.layers.\1."),
    (r"roi_heads\.box_predictor\.cls_score\.", "head.logits."),
    (r"roi_heads\.box_predictor\.bbox_pred\.", "head.deltas."),
    (r"roi_heads\.mask_head\.", "mask_head.layers."),
    (r"roi_heads\.mask_predictor\.conv5_mask\.", "mask_head.upsample."),
    (r"roi_heads\.mask_predictor\.mask_fcn_logits\.", "mask_head.logits."),
)
OLD_KEYS = (  # in files written by torchvision before 0.13, the published ones among them
    (r"(backbone\.fpn\.\w+_blocks\.\d)\.(weight|bias)", r"\1.0.\2"),
    (r"(rpn\.head\.conv)\.(weight|bias)", r"\1.0.0.\2"),
    *((rf"(roi_heads\.mask_head)\.mask_fcn{i + 1}\.(weight|bias)", rf"\1.{i}.0.\2") for i in range(4)),
)
BACKGROUND_ROWS = {"head.deltas": 4, "mask_head.logits": 1}  # layers with rows for the background there, none here
CHANNELS_PER_ANCHOR = {"proposer.head.objectness": 1, "proposer.head.deltas": 4}  # output layers of the RPN


def rename_old_keys(state_dict: StateDict) -> StateDict:
    """Return the state dict with the keys that torchvision has used since 0.13."""
    return {rename_by_pattern(key, OLD_KEYS): tensor for key, tensor in state_dict.items()}


def convert_key(key: str) -> str:
    """Return our key of a tensor of torchvision; a key that is not in the table is returned as it is."""
    for pattern, replacement in KEY_PREFIXES:
        converted, num_matches = re.subn(rf"^{pattern}", replacement, key)
        if num_matches:
            return converted
    return key


def from_torchvision(state_dict: StateDict, num_sizes: int, eps: float | None) -> StateDict:
    """Return the state dict of a detector of torchvision for our modules.

    num_sizes: anchor sizes of one map. eps: eps of the batch norms; None: do not convert batch norms.
    """
    converted = {convert_key(key): tensor for key, tensor in rename_old_keys(state_dict).items()}
    for key, tensor in _rpn_outputs(converted):
        converted[key] = _transpose_groups(tensor, CHANNELS_PER_ANCHOR[key.rsplit(".", 1)[0]], -1, num_sizes)
    for key, rows in _rows_of_background(converted).items():
        converted[key] = converted[key][rows:]
    return converted if eps is None else fold_norms(converted, eps, ("backbone.body.",))


def to_torchvision(state_dict: StateDict, num_sizes: int, keys: Iterable[str]) -> StateDict:
    """Return our state dict for a module of torchvision whose state dict has these ``keys``.

    Raises KeyError for a tensor that ours does not have.
    """
    converted = unfold_norms(state_dict)
    for key, tensor in _rpn_outputs(converted):
        converted[key] = _transpose_groups(tensor, CHANNELS_PER_ANCHOR[key.rsplit(".", 1)[0]], num_sizes, -1)
    for key, rows in _rows_of_background(converted).items():
        converted[key] = torch.cat([torch.zeros_like(converted[key][:rows]), converted[key]])
    return {key: converted[convert_key(key)].clone() for key in keys}


def _rpn_outputs(state_dict: StateDict) -> list[tuple[str, Tensor]]:
    """Return the keys and tensors of the output layers of the RPN."""
    return [(key, tensor) for key, tensor in state_dict.items() if key.rsplit(".", 1)[0] in CHANNELS_PER_ANCHOR]


def _rows_of_background(state_dict: StateDict) -> dict[str, int]:
    """Return the keys of tensors that have rows for the background in torchvision, and their number."""
    layers = {key: key.rsplit(".", 1)[0] for key in state_dict}
    return {key: BACKGROUND_ROWS[layer] for key, layer in layers.items() if layer in BACKGROUND_ROWS}


def _transpose_groups(tensor: Tensor, num_channels: int, outer: int, inner: int) -> Tensor:
    """Swap the outer and the inner index of groups of channels.

    tensor (outer * inner * num_channels, ...) -> (inner * outer * num_channels, ...); -1 for a size that follows.
    """
    return tensor.reshape(outer, inner, num_channels, *tensor.shape[1:]).transpose(0, 1).flatten(0, 2)
