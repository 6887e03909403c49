"""A checkpoint of ours as weights that torchvision's Faster R-CNNs load."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torchvision.models import detection as theirs

from detect.checkpoints.checkpoint import Checkpoint
from detect.checkpoints.torchvision_configs import LAYOUTS, anchor_sides, layout_config
from detect.checkpoints.torchvision_names import to_theirs
from detect.config import as_plain
from detect.errors import UserError
from detect.system.files import write_bytes
from detect.system.tensor_files import State

ARGUMENTS = {  # our setting -> the argument of torchvision's builders
    "data.min_size": "min_size",
    "data.max_size": "max_size",
    "data.divisor": "size_divisible",
    "model.rpn.train_before": "rpn_pre_nms_top_n_train",
    "model.rpn.train_after": "rpn_post_nms_top_n_train",
    "model.rpn.test_before": "rpn_pre_nms_top_n_test",
    "model.rpn.test_after": "rpn_post_nms_top_n_test",
    "model.rpn.nms": "rpn_nms_thresh",
    "model.rpn.score": "rpn_score_thresh",
    "model.rpn.foreground": "rpn_fg_iou_thresh",
    "model.rpn.background": "rpn_bg_iou_thresh",
    "model.rpn.number": "rpn_batch_size_per_image",
    "model.rpn.share": "rpn_positive_fraction",
    "model.head.foreground": "box_fg_iou_thresh",
    "model.head.background": "box_bg_iou_thresh",
    "model.head.number": "box_batch_size_per_image",
    "model.head.share": "box_positive_fraction",
    "model.head.stds": "bbox_reg_weights",
    "model.postprocess.score": "box_score_thresh",
    "model.postprocess.nms": "box_nms_thresh",
    "model.postprocess.limit": "box_detections_per_img",
}
FIXED = (  # what detections depend on and torchvision has no argument for
    "model.kind",
    "model.proposals",
    "model.classifier",
    "model.pool",
    "model.preprocess",
    "model.regions",
    *(f"model.backbone.{key}" for key in ("name", "norm", "output", "width", "levels", "split", "neck_norm")),
    *(f"model.backbone.{key}" for key in ("neck_convolution", "upsampling")),
    *(f"model.rpn.{key}" for key in ("width", "convolutions", "convolution", "sides", "ratios", "offset", "rounded")),
    *(f"model.rpn.{key}" for key in ("spacing", "growth", "min_side")),
    *(f"model.head.{key}" for key in ("tail", "transform", "width", "bins", "ranks", "convolutions", "norm")),
    *(f"model.postprocess.{key}" for key in ("regress", "growth", "min_side")),
)
UNREAD = {"linear": {"model.head.convolutions", "model.head.norm"}}  # by a tail of that kind


Plain = dict[str, Any]  # all settings as plain values


@dataclass(frozen=True)
class Exported:
    """layout: the name of torchvision's builder; arguments: what it must be called with; state: what it loads."""

    layout: str
    arguments: dict[str, Any]
    state: State

    @property
    def call(self) -> str:
        """The builder's call, as code."""
        return f"{self.layout}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"


def export_torchvision(checkpoint: Checkpoint, what: str) -> Exported:
    """The weights for the one of LAYOUTS that this detector is laid out as.

    UserError that starts with ``what`` and names the first setting that differs from all of them.
    """
    settings = as_plain(checkpoint.config)
    plain = {layout: as_plain(layout_config(layout)) for layout in LAYOUTS}
    differing = {layout: _differences(settings, plain[layout]) for layout in LAYOUTS}
    changed = {layout: _arguments(settings, plain[layout]) for layout in LAYOUTS}
    layout = min(LAYOUTS, key=lambda name: (len(differing[name]), len(changed[name])))
    if differing[layout]:
        key = differing[layout][0]
        wanted, found = _value(plain[layout], key), _value(settings, key)
        raise UserError(f"{what}: expected {key} {wanted}, as torchvision's {layout} has it, found {found}")
    arguments = {"weights": None, "weights_backbone": None, "num_classes": len(checkpoint.classes) + 1}
    with torch.device("meta"):
        builder = getattr(theirs, layout)(**arguments)
    state = to_theirs(checkpoint.weights, anchor_sides(checkpoint.config), builder.state_dict())
    state = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    return Exported(layout, arguments | changed[layout], state)


def save_state(state: State, file: Path) -> None:
    """Write a state dict as ``torch.save`` does, whole or not at all."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_bytes(file, buffer.getvalue())


def as_argument(key: str, value: Any) -> Any:
    """The value of a setting as torchvision's argument takes it."""
    if key == "model.head.stds":
        return tuple(1 / std for std in value)
    return value[1] if key.endswith(".background") else value


def _differences(settings: Plain, plain: Plain) -> list[str]:
    """What differs of the settings that weights cannot change; a span of backgrounds must begin at 0."""
    spans = [key for key in ARGUMENTS if key.endswith(".background") and _value(settings, key)[0] != 0]
    keys = [key for key in FIXED if key not in UNREAD.get(_value(plain, "model.head.tail"), set())]
    return [key for key in keys if _value(settings, key) != _value(plain, key)] + spans


def _arguments(settings: Plain, plain: Plain) -> dict[str, Any]:
    """Arguments for all that is not as the layout's builder has it."""
    return {
        argument: as_argument(key, _value(settings, key))
        for key, argument in ARGUMENTS.items()
        if _value(settings, key) != _value(plain, key)
    }


def _value(settings: Plain, key: str) -> Any:
    value: Any = settings
    for part in key.split("."):
        value = value[part]
    return value
