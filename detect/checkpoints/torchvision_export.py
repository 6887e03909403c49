"""Export a checkpoint as weights that torchvision's Faster and Mask R-CNNs load."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torchvision.models import detection as theirs

from detect.checkpoints.checkpoint import Checkpoint
from detect.checkpoints.torchvision_configs import LAYOUTS, num_sizes_per_map, torchvision_config
from detect.checkpoints.torchvision_names import to_torchvision
from detect.config import to_dict
from detect.errors import UserError
from detect.system.files import write_bytes
from detect.system.tensor_files import StateDict

ARGUMENTS = {  # our setting -> the argument of torchvision's builders
    "data.min_size": "min_size",
    "data.max_size": "max_size",
    "data.size_divisor": "size_divisible",
    "model.rpn.pre_nms_top_n_train": "rpn_pre_nms_top_n_train",
    "model.rpn.post_nms_top_n_train": "rpn_post_nms_top_n_train",
    "model.rpn.pre_nms_top_n_test": "rpn_pre_nms_top_n_test",
    "model.rpn.post_nms_top_n_test": "rpn_post_nms_top_n_test",
    "model.rpn.nms_iou": "rpn_nms_thresh",
    "model.rpn.score_threshold": "rpn_score_thresh",
    "model.rpn.positive_iou": "rpn_fg_iou_thresh",
    "model.rpn.negative_iou": "rpn_bg_iou_thresh",
    "model.rpn.batch_size_per_image": "rpn_batch_size_per_image",
    "model.rpn.positive_fraction": "rpn_positive_fraction",
    "model.head.positive_iou": "box_fg_iou_thresh",
    "model.head.negative_iou": "box_bg_iou_thresh",
    "model.head.batch_size_per_image": "box_batch_size_per_image",
    "model.head.positive_fraction": "box_positive_fraction",
    "model.head.delta_stds": "bbox_reg_weights",
    "model.postprocess.score_threshold": "box_score_thresh",
    "model.postprocess.nms_iou": "box_nms_thresh",
    "model.postprocess.max_detections": "box_detections_per_img",
}
FIXED_SETTINGS = (  # settings that detections depend on and that torchvision has no argument for
    "model.kind",
    "model.proposals",
    "model.classifier",
    "model.pool",
    "model.preprocess",
    "model.regions",
    *(f"model.backbone.{key}" for key in ("name", "norm", "output", "neck_channels", "fpn_levels", "split_last_stage")),
    *(f"model.backbone.{key}" for key in ("neck_norm", "neck_conv_type", "upsampling")),
    *(f"model.rpn.{key}" for key in ("channels", "num_convs", "conv_type", "anchor_sizes")),
    *(f"model.rpn.{key}" for key in ("aspect_ratios", "anchor_offset", "round_anchors", "anchor_stride")),
    *(f"model.rpn.{key}" for key in ("max_scale_change", "min_size", "delta_stds")),
    *(f"model.rpn.{key}" for key in ("box_regression", "rank")),
    *(f"model.head.{key}" for key in ("type", "transform", "fc_dim", "pool_size", "svd_ranks", "num_convs", "norm")),
    "model.head.class_agnostic",
    "model.cascade",
    *(f"model.mask.{key}" for key in ("pool_size", "num_convs", "channels", "norm", "per_stage")),
    *(f"model.postprocess.{key}" for key in ("box_regression", "max_scale_change", "min_size")),
    "model.postprocess.pre_nms_top_n_per_class",
    *(f"model.test_time.{key}" for key in ("flip", "scales", "slice.size")),  # the others say how views are merged
)
UNUSED_BY_HEAD_TYPE = {"fc": {"model.head.num_convs", "model.head.norm"}}

Settings = dict[str, Any]  # all settings as nested dicts


@dataclass(frozen=True)
class ExportedModel:
    """An exported model.

    layout: name of torchvision's builder; arguments: those to call it with; state: state dict for the built model.
    """

    layout: str
    arguments: dict[str, Any]
    state: StateDict

    @property
    def call(self) -> str:
        """Return the call of the builder as code."""
        return f"{self.layout}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"


def export_torchvision(checkpoint: Checkpoint, source: str) -> ExportedModel:
    """Return the weights for the one of LAYOUTS that this detector has.

    Raises UserError, which starts with ``source`` and names the first setting that differs from the nearest layout.
    """
    settings = to_dict(checkpoint.config)
    references = {layout: to_dict(torchvision_config(layout)) for layout in LAYOUTS}
    differences = {layout: _differences(settings, references[layout]) for layout in LAYOUTS}
    changed = {layout: _arguments(settings, references[layout]) for layout in LAYOUTS}
    layout = min(LAYOUTS, key=lambda name: (len(differences[name]), len(changed[name])))
    if differences[layout]:
        key = differences[layout][0]
        expected, actual = _setting(references[layout], key), _setting(settings, key)
        raise UserError(f"{source}: expected {key} {expected}, as torchvision's {layout} has it, found {actual}")
    arguments = {"weights": None, "weights_backbone": None, "num_classes": len(checkpoint.classes) + 1}
    with torch.device("meta"):
        builder = getattr(theirs, layout)(**arguments)
    state = to_torchvision(checkpoint.weights, num_sizes_per_map(checkpoint.config), builder.state_dict())
    state = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    return ExportedModel(layout, arguments | changed[layout], state)


def save_state(state: StateDict, file: Path) -> None:
    """Write a state dict as ``torch.save`` does, completely or not at all. Raises RunError."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_bytes(file, buffer.getvalue())


def to_torchvision_argument(key: str, setting: Any) -> Any:
    """Return the value of torchvision's argument for the value of our setting ``key``."""
    if key == "model.head.delta_stds":
        return tuple(1 / std for std in setting)
    return setting[1] if key.endswith(".negative_iou") else setting


def _differences(settings: Settings, reference: Settings) -> list[str]:
    """Return the keys that differ and cannot be arguments; a range of negatives must begin at 0."""
    ranges = [key for key in ARGUMENTS if key.endswith(".negative_iou") and _setting(settings, key)[0] != 0]
    unused = UNUSED_BY_HEAD_TYPE.get(_setting(reference, "model.head.type"), set())
    keys = [key for key in FIXED_SETTINGS if key not in unused]
    return [key for key in keys if _setting(settings, key) != _setting(reference, key)] + ranges


def _arguments(settings: Settings, reference: Settings) -> dict[str, Any]:
    """Return arguments for all settings that differ from the defaults of the layout's builder."""
    return {
        argument: to_torchvision_argument(key, _setting(settings, key))
        for key, argument in ARGUMENTS.items()
        if _setting(settings, key) != _setting(reference, key)
    }


def _setting(settings: Settings, key: str) -> Any:
    """Return the value of a key such as model.rpn.channels."""
    setting: Any = settings
    for part in key.split("."):
        setting = setting[part]
    return setting
