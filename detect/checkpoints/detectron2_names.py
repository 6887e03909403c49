"""detectron2's Faster and Fast R-CNNs: the names and tensors of their state dicts as ours.

Names differ; tensors differ in three places. Their background is the last label, ours the first. A class-agnostic head
has four deltas for all classes, ours four for each: the same ones K times. Frozen normalisations are four tensors there
and, folded into their convolution, two here. Anchors are in the same order.
"""

from __future__ import annotations

import torch

from detect.checkpoints.fold_norms import DEFAULT_EPS, folded
from detect.system.tensor_files import State

STAGES = {
    "stem.conv1.norm.": "stages.0.1.",
    "stem.conv1.": "stages.0.0.",
    **{f"res{number}.": f"stages.{number - 1}." for number in (2, 3, 4, 5)},
}
NAMES = {  # how a name begins, the first that fits: theirs -> ours
    **{f"backbone.bottom_up.{theirs}": f"backbone.body.{ours}" for theirs, ours in STAGES.items()},
    **{f"backbone.{theirs}": f"backbone.{ours}" for theirs, ours in STAGES.items()},
    **{f"backbone.fpn_lateral{number}.": f"backbone.neck.lateral.{number - 2}.0." for number in (2, 3, 4, 5)},
    **{f"backbone.fpn_output{number}.": f"backbone.neck.smooth.{number - 2}.0." for number in (2, 3, 4, 5)},
    "proposal_generator.rpn_head.conv.": "proposer.head.hidden.",
    "proposal_generator.rpn_head.objectness_logits.": "proposer.head.objectness.",
    "proposal_generator.rpn_head.anchor_deltas.": "proposer.head.deltas.",
    "roi_heads.res5.": "head.tail.0.",
    "roi_heads.box_head.fc1.": "head.tail.layers.1.",
    "roi_heads.box_head.fc2.": "head.tail.layers.3.",
    "roi_heads.box_predictor.cls_score.": "head.logits.",
    "roi_heads.box_predictor.bbox_pred.": "head.deltas.",
}
WITHIN = {  # a block of a ResNet; torchvision's names, which ours are
    **{f".conv{number}.norm.": f".bn{number}." for number in (1, 2, 3)},
    ".shortcut.norm.": ".downsample.1.",
    ".shortcut.": ".downsample.0.",
}


def our_name(theirs: str) -> str:
    """What a tensor is called here; an unknown name is its own."""
    start = next((start for start in NAMES if theirs.startswith(start)), None)
    if start is None:
        return theirs
    name = NAMES[start] + theirs.removeprefix(start)
    for inner, ours in WITHIN.items():
        name = name.replace(inner, ours)
    return name


def to_ours(theirs: State) -> State:
    """A detector's tensors for our modules."""
    state = {our_name(name): value for name, value in theirs.items()}
    for name in {"head.logits.weight", "head.logits.bias"} & state.keys():
        state[name] = state[name].roll(1, 0)
    classes = len(state["head.logits.bias"]) - 1 if "head.logits.bias" in state else 1
    for name in {"head.deltas.weight", "head.deltas.bias"} & state.keys():
        if len(state[name]) == 4:
            state[name] = torch.cat([state[name]] * classes)
    return folded(state, DEFAULT_EPS, ("backbone.", "head.tail."))
