"""Convert state dicts of torchvision's Faster R-CNNs to ours, and back.

The names differ, and the tensors differ in three places. Their RPN has the outputs of all sizes of one aspect ratio
after the other, ours those of all aspect ratios of one size. Their head has box deltas for the background, which
nothing reads. A frozen normalization is four tensors there, and two here, folded into its convolution
(``models.backbones.frozen_norm``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch
from torch import Tensor

from detect.checkpoints.fold_norms import fold_norms, rename_by_pattern, unfold_norms
from detect.system.tensor_files import State

NAMES = (  # start of a name, of which the first match counts: theirs -> ours
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
)
OLD_NAMES = (  # of files written by torchvision before 0.13, the published ones among them
    (r"(backbone\.fpn\.\w+_blocks\.\d)\.(weight|bias)", r"\1.0.\2"),
    (r"(rpn\.head\.conv)\.(weight|bias)", r"\1.0.0.\2"),
)
RPN_OUTPUTS = {"proposer.head.objectness": 1, "proposer.head.deltas": 4}  # -> rows of an anchor


def with_present_keys(state: State) -> State:
    """Return the state dict by the names that torchvision has used since 0.13."""
    return {rename_by_pattern(name, OLD_NAMES): tensor for name, tensor in state.items()}


def our_torchvision_name(theirs: str) -> str:
    """Return our name of a tensor; a name that is not in the table is returned as it is."""
    for pattern, ours in NAMES:
        name, num_matches = re.subn(rf"^{pattern}", ours, theirs)
        if num_matches:
            return name
    return theirs


def from_torchvision(theirs: State, num_sizes: int, eps: float | None) -> State:
    """Return the state dict of a detector of torchvision for our modules.

    num_sizes: anchor sizes of one map. eps: number that is added to variances where the normalizations of the body are
    folded; None to keep them.
    """
    state = {our_torchvision_name(name): tensor for name, tensor in with_present_keys(theirs).items()}
    for name, tensor in _rpn_outputs(state):
        state[name] = _transpose_groups(tensor, RPN_OUTPUTS[name.rsplit(".", 1)[0]], -1, num_sizes)
    for name in {"head.deltas.weight", "head.deltas.bias"} & state.keys():
        state[name] = state[name][4:]
    return state if eps is None else fold_norms(state, eps, ("backbone.body.",))


def to_torchvision(ours: State, num_sizes: int, names: Iterable[str]) -> State:
    """Return our state dict for a module of torchvision with tensors of these ``names``.

    Raises KeyError for a tensor that ours does not have.
    """
    state = unfold_norms(ours)
    for name, tensor in _rpn_outputs(state):
        state[name] = _transpose_groups(tensor, RPN_OUTPUTS[name.rsplit(".", 1)[0]], num_sizes, -1)
    for name in ("head.deltas.weight", "head.deltas.bias"):
        state[name] = torch.cat([torch.zeros_like(state[name][:4]), state[name]])
    return {theirs: state[our_torchvision_name(theirs)].clone() for theirs in names}


def _rpn_outputs(state: State) -> list[tuple[str, Tensor]]:
    """Return the names and tensors of the output layers of the RPN."""
    return [(name, tensor) for name, tensor in state.items() if name.rsplit(".", 1)[0] in RPN_OUTPUTS]


def _transpose_groups(tensor: Tensor, num_rows: int, outer: int, inner: int) -> Tensor:
    """Swap the outer and the inner index of groups of rows.

    tensor (outer * inner * num_rows, ...) -> (inner * outer * num_rows, ...); -1 for a size that follows.
    """
    return tensor.reshape(outer, inner, num_rows, *tensor.shape[1:]).transpose(0, 1).flatten(0, 2)
