"""Convert state dicts of detectron2's Faster, Fast, Cascade and Mask R-CNNs to ours.

The keys differ, and the tensors differ in three places. Their background is the last label, ours the first. A
class-agnostic head has four deltas for all classes, ours has four for each class, the same ones K times, unless it is a
cascade. A frozen batch norm has four tensors there; here it becomes the scale and shift of FrozenConv2d. Anchors are in
the same order.
"""

from __future__ import annotations

import re

import torch

from detect.checkpoints.fold_norms import DEFAULT_EPS, fold_norms
from detect.system.tensor_files import StateDict

STAGES = {
    "stem.conv1.norm.": "stages.0.1.",
    "stem.conv1.": "stages.0.0.",
    **{f"res{i}.": f"stages.{i - 1}." for i in (2, 3, 4, 5)},
}
KEY_PREFIXES = {  # the first one that a key starts with counts: detectron2's -> ours
    **{f"backbone.bottom_up.{theirs}": f"backbone.body.{ours}" for theirs, ours in STAGES.items()},
    **{f"backbone.{theirs}": f"backbone.{ours}" for theirs, ours in STAGES.items()},
    **{f"backbone.fpn_lateral{i}.": f"backbone.neck.lateral.{i - 2}.0." for i in (2, 3, 4, 5)},
    **{f"backbone.fpn_output{i}.": f"backbone.neck.smooth.{i - 2}.0." for i in (2, 3, 4, 5)},
    "proposal_generator.rpn_head.conv.": "proposer.head.conv.",
    "proposal_generator.rpn_head.objectness_logits.": "proposer.head.objectness.",
    "proposal_generator.rpn_head.anchor_deltas.": "proposer.head.deltas.",
    "roi_heads.res5.": "head.tail.0.",
    "roi_heads.box_head.fc1.": "head.tail.layers.1.",
    "roi_heads.box_head.fc2.": "head.tail.layers.3.",
    "roi_heads.box_predictor.cls_score.": "head.logits.",
    "roi_heads.box_predictor.bbox_pred.": "head.deltas.",
    **{f"roi_heads.mask_head.mask_fcn{i + 1}.": f"mask_head.layers.{i}.0." for i in range(4)},
    "roi_heads.mask_head.deconv.": "mask_head.upsample.",
    "roi_heads.mask_head.predictor.": "mask_head.logits.",
}
WITHIN = {  # inside a block of a ResNet; ours are torchvision's names
    **{f".conv{i}.norm.": f".bn{i}." for i in (1, 2, 3)},
    ".shortcut.norm.": ".downsample.1.",
    ".shortcut.": ".downsample.0.",
}


def convert_detectron2_key(key: str) -> str:
    """Return our key of a tensor of detectron2; a key that is not in the table is returned as it is."""
    key, stage = _without_stage(key)
    prefix = next((prefix for prefix in KEY_PREFIXES if key.startswith(prefix)), None)
    if prefix is None:
        return key
    ours = KEY_PREFIXES[prefix]
    converted = (ours.replace("head.", f"head.{stage}", 1) if stage else ours) + key.removeprefix(prefix)
    for part, replacement in WITHIN.items():
        converted = converted.replace(part, replacement)
    return converted


def _without_stage(key: str) -> tuple[str, str]:
    """Return the key that a head of one stage has, and the stage of a cascade: box_head.1.fc1.bias -> (..., "1.")."""
    match = re.fullmatch(r"(roi_heads\.(?:box_head|box_predictor)\.)(\d+\.)(.+)", key)
    return (key, "") if match is None else (match[1] + match[3], match[2])


def from_detectron2(state_dict: StateDict) -> StateDict:
    """Return the state dict of a detector of detectron2 for our modules."""
    converted = {convert_detectron2_key(key): tensor for key, tensor in state_dict.items()}
    for key in converted:
        if re.fullmatch(r"head\.(\d+\.)?logits\.(weight|bias)", key):
            converted[key] = converted[key].roll(1, 0)
    num_classes = len(converted["head.logits.bias"]) - 1 if "head.logits.bias" in converted else 1
    for key in {"head.deltas.weight", "head.deltas.bias"} & converted.keys():
        if len(converted[key]) == 4:
            converted[key] = torch.cat([converted[key]] * num_classes)
    return fold_norms(converted, DEFAULT_EPS, ("backbone.", "head.tail."))
