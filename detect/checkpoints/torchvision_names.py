"""torchvision's Faster R-CNNs: the names and tensors of their state dicts as ours, and back.

Names differ; tensors differ in three places. Their RPN answers for all sides of one ratio after the other, ours for all
ratios of one side. Their head has box deltas for the background, which nothing reads. Normalisations that do not learn
are four tensors there and, folded into their convolution, two here (``backbones.norm``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch
from torch import Tensor

from detect.checkpoints.fold_norms import folded, renamed, unfolded
from detect.system.tensor_files import State

NAMES = (  # the first that fits, at the beginning of a name: theirs -> ours
    (r"backbone\.body\.conv1\.", "backbone.body.stages.0.0."),
    (r"backbone\.body\.bn1\.", "backbone.body.stages.0.1."),
    (r"backbone\.body\.layer(\d)\.", r"backbone.body.stages.\1."),
    (r"backbone\.body\.(0|1)\.", r"backbone.body.stages.0.\1."),  # MobileNetV3, whose layers are numbered through
    (r"backbone\.body\.(2|3)\.", r"backbone.body.stages.1.\1."),
    (r"backbone\.body\.(4|5|6)\.", r"backbone.body.stages.2.\1."),
    (r"backbone\.body\.(7|8|9|10|11|12)\.", r"backbone.body.stages.3.\1."),
    (r"backbone\.body\.(13)\.", r"backbone.body.stages.4.\1."),
    (r"backbone\.body\.(14|15|16)\.", r"backbone.body.stages.5.\1."),
    (r"backbone\.fpn\.inner_blocks\.", "backbone.neck.lateral."),
    (r"backbone\.fpn\.layer_blocks\.", "backbone.neck.smooth."),
    (r"rpn\.head\.conv\.0\.0\.", "proposer.head.hidden."),
    (r"rpn\.head\.conv\.1\.0\.", "proposer.head.further.0."),
    (r"rpn\.head\.cls_logits\.", "proposer.head.objectness."),
    (r"rpn\.head\.bbox_pred\.", "proposer.head.deltas."),
    (r"roi_heads\.box_head\.fc6\.", "head.tail.layers.1."),
    (r"roi_heads\.box_head\.fc7\.", "head.tail.layers.3."),
    (r"roi_heads\.box_head\.(\d)\.", r"head.tail.layers.\1."),
    (r"roi_heads\.box_predictor\.cls_score\.", "head.logits."),
    (r"roi_heads\.box_predictor\.bbox_pred\.", "head.deltas."),
)
OLD_NAMES = (  # of files written by torchvision before 0.13, the published ones among them
    (r"(backbone\.fpn\.\w+_blocks\.\d)\.(weight|bias)", r"\1.0.\2"),
    (r"(rpn\.head\.conv)\.(weight|bias)", r"\1.0.0.\2"),
)
RPN_OUTPUTS = {"proposer.head.objectness": 1, "proposer.head.deltas": 4}  # -> rows of an anchor


def modern(state: State) -> State:
    """The same by the names that torchvision has used since 0.13."""
    return {renamed(name, OLD_NAMES): value for name, value in state.items()}


def our_name(theirs: str) -> str:
    """What a tensor is called here; an unknown name is its own."""
    for pattern, ours in NAMES:
        name, found = re.subn(rf"^{pattern}", ours, theirs)
        if found:
            return name
    return theirs


def to_ours(theirs: State, sides: int, eps: float | None) -> State:
    """A detector's tensors for our modules.

    sides: of the anchors of one map. eps: where the body's normalisations are to be folded, what is added to their
    variances.
    """
    state = {our_name(name): value for name, value in modern(theirs).items()}
    for name, value in _rpn_outputs(state):
        state[name] = _turned(value, RPN_OUTPUTS[name.rsplit(".", 1)[0]], -1, sides)
    for name in {"head.deltas.weight", "head.deltas.bias"} & state.keys():
        state[name] = state[name][4:]
    return state if eps is None else folded(state, eps, ("backbone.body.",))


def to_theirs(ours: State, sides: int, names: Iterable[str]) -> State:
    """The other way, for their module with tensors of these ``names``; KeyError for one that we do not have."""
    state = unfolded(ours)
    for name, value in _rpn_outputs(state):
        state[name] = _turned(value, RPN_OUTPUTS[name.rsplit(".", 1)[0]], sides, -1)
    for name in ("head.deltas.weight", "head.deltas.bias"):
        state[name] = torch.cat([torch.zeros_like(state[name][:4]), state[name]])
    return {theirs: state[our_name(theirs)].clone() for theirs in names}


def _rpn_outputs(state: State) -> list[tuple[str, Tensor]]:
    return [(name, value) for name, value in state.items() if name.rsplit(".", 1)[0] in RPN_OUTPUTS]


def _turned(value: Tensor, rows: int, outer: int, inner: int) -> Tensor:
    """Rows in groups of ``rows``, ``outer`` times ``inner`` of them, with the inner index turned outward."""
    return value.reshape(outer, inner, rows, *value.shape[1:]).transpose(0, 1).flatten(0, 2)
