"""Convert state dicts of mmdetection's Faster, Cascade and Mask R-CNNs to ours.

The keys differ, and the tensors differ in two places: their background is the last label, ours the first; a frozen
batch norm has four tensors there, and becomes the scale and shift of FrozenConv2d here. Anchors are in the same order.
"""

from __future__ import annotations

import re

from detect.checkpoints.fold_norms import DEFAULT_EPS, fold_norms
from detect.system.tensor_files import StateDict

KEY_PREFIXES = (  # the first pattern that matches the start of a key counts: mmdetection's -> ours
    (r"backbone\.conv1\.", "backbone.body.stages.0.0."),
    (r"backbone\.bn1\.", "backbone.body.stages.0.1."),
    (r"backbone\.layer(\d)\.", r"backbone.body.stages.\1."),
    (r"neck\.lateral_convs\.(\d)\.conv\.", r"backbone.neck.lateral.\1.0."),
    (r"neck\.fpn_convs\.(\d)\.conv\.", r"backbone.neck.smooth.\1.0."),
    (r"rpn_head\.rpn_conv\.", "proposer.head.conv."),
    (r"rpn_head\.rpn_cls\.", "proposer.head.objectness."),
    (r"rpn_head\.rpn_reg\.", "proposer.head.deltas."),
    (r"roi_head\.bbox_head\.(\d+\.|)shared_fcs\.0\.", r"head.\1tail.layers.1."),
    (r"roi_head\.bbox_head\.(\d+\.|)shared_fcs\.1\.", r"head.\1tail.layers.3."),
    (r"roi_head\.bbox_head\.(\d+\.|)fc_cls\.", r"head.\1logits."),
    (r"roi_head\.bbox_head\.(\d+\.|)fc_reg\.", r"head.\1deltas."),
    (r"roi_head\.mask_head\.(\d+\.|)convs\.(\d)\.conv\.", r"mask_head.\1layers.\2.0."),
    (r"roi_head\.mask_head\.(\d+\.|)upsample\.", r"mask_head.\1upsample."),
    (r"roi_head\.mask_head\.(\d+\.|)conv_logits\.", r"mask_head.\1logits."),
)


def convert_mmdetection_key(key: str) -> str:
    """Return our key of a tensor of mmdetection; a key that is not in the table is returned as it is."""
    for pattern, replacement in KEY_PREFIXES:
        converted, num_matches = re.subn(rf"^{pattern}", replacement, key)
        if num_matches:
            return converted
    return key


def from_mmdetection(state_dict: StateDict) -> StateDict:
    """Return the state dict of a detector of mmdetection for our modules."""
    converted = {convert_mmdetection_key(key): tensor for key, tensor in state_dict.items()}
    for key in converted:
        if re.fullmatch(r"head\.(\d+\.)?logits\.(weight|bias)", key):
            converted[key] = converted[key].roll(1, 0)
    return fold_norms(converted, DEFAULT_EPS, ("backbone.body.",))
