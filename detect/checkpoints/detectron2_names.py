"""Convert state dicts of detectron2's Faster and Fast R-CNNs to ours.

The names differ, and the tensors differ in three places. Their background is the last label, ours the first. A
class-agnostic head has four deltas for all classes, ours has four for each class: the same ones K times. A frozen
normalization is four tensors there, and two here, folded into its convolution. Anchors are in the same order.
"""

from __future__ import annotations

import torch

from detect.checkpoints.fold_norms import DEFAULT_EPS, fold_norms
from detect.system.tensor_files import State

STAGES = {
    "stem.conv1.norm.": "stages.0.1.",
    "stem.conv1.": "stages.0.0.",
    **{f"res{i}.": f"stages.{i - 1}." for i in (2, 3, 4, 5)},
}
NAMES = {  # start of a name, of which the first match counts: theirs -> ours
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
}
WITHIN = {  # inside a block of a ResNet; ours are torchvision's names
    **{f".conv{i}.norm.": f".bn{i}." for i in (1, 2, 3)},
    ".shortcut.norm.": ".downsample.1.",
    ".shortcut.": ".downsample.0.",
}


def our_detectron2_name(theirs: str) -> str:
    """Return our name of a tensor; a name that is not in the table is returned as it is."""
    start = next((start for start in NAMES if theirs.startswith(start)), None)
    if start is None:
        return theirs
    name = NAMES[start] + theirs.removeprefix(start)
    for inner, ours in WITHIN.items():
        name = name.replace(inner, ours)
    return name


def from_detectron2(theirs: State) -> State:
    """Return the state dict of a detector of detectron2 for our modules."""
    state = {our_detectron2_name(name): tensor for name, tensor in theirs.items()}
    for name in {"head.logits.weight", "head.logits.bias"} & state.keys():
        state[name] = state[name].roll(1, 0)
    num_classes = len(state["head.logits.bias"]) - 1 if "head.logits.bias" in state else 1
    for name in {"head.deltas.weight", "head.deltas.bias"} & state.keys():
        if len(state[name]) == 4:
            state[name] = torch.cat([state[name]] * num_classes)
    return fold_norms(state, DEFAULT_EPS, ("backbone.", "head.tail."))
