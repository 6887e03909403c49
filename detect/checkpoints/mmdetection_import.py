"""Import Faster, Cascade, Mask and Cascade Mask R-CNNs of mmdetection, with its settings and preprocessing.

What a file's own configuration does not say is as in its configs/_base_/models/ (2.x and 3.x), of
{faster,cascade,mask,cascade_mask}_rcnn_r50_fpn.py.
Files of its version 1, whose background is the first label, have other names and are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detect.checkpoints.checkpoint import Checkpoint
from detect.checkpoints.detectron2_import import VOC, coco80
from detect.checkpoints.mmdetection_names import from_mmdetection
from detect.checkpoints.mmdetection_settings import KEYS, settings_of_text
from detect.checkpoints.validate import class_names, require_complete
from detect.config import Config, to_dict
from detect.config.builders.detector import build_preprocess
from detect.config.files import dotted_keys, parse_config, with_overrides
from detect.config.merge import deep_merge, settings_to_merge
from detect.config.overrides import nest
from detect.errors import UserError
from detect.system.tensor_files import StateDict, load_torch_file, require_state_dict

Settings = dict[str, Any]

_MEAN, _STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
_STYLES: dict[str, Settings] = {  # of its ResNets: torchvision's, or Caffe's, which strides in the first convolution
    "pytorch": {"resize": "cv2", "channels": "rgb", "mean": _MEAN, "std": _STD},
    "caffe": {"resize": "cv2", "channels": "bgr", "mean": _MEAN, "std": [1, 1, 1]},
}
_RPN: Settings = {
    "channels": 256,
    "anchor_sizes": [32, 64, 128, 256, 512],
    "aspect_ratios": [0.5, 1.0, 2.0],
    "anchor_offset": 0.0,
    "positive_iou": 0.7,
    "negative_iou": [0.0, 0.3],
    "batch_size_per_image": 256,
    "positive_fraction": 0.5,
    "allowed_border": None,
    "loss_average": "batch",
    "nms_iou": 0.7,
    "pre_nms_top_n_train": 2000,
    "pre_nms_top_n_test": 1000,
    "post_nms_top_n_test": 1000,
}
_HEAD: Settings = {
    "type": "fc",
    "fc_dim": 1024,
    "pool_size": 7,
    "batch_size_per_image": 512,
    "positive_fraction": 0.25,
    "positive_iou": 0.5,
    "negative_iou": [0.0, 0.5],
}
_KINDS: dict[str, Settings] = {
    "faster_rcnn": {
        "rpn": _RPN | {"smooth_l1_beta": 0.0, "post_nms_top_n_train": 1000},
        "head": _HEAD | {"smooth_l1_beta": 0.0},
    },
    "cascade_rcnn": {
        "rpn": _RPN | {"smooth_l1_beta": 1 / 9, "post_nms_top_n_train": 2000},
        "head": _HEAD | {"smooth_l1_beta": 1.0},
        "cascade": {
            "ious": [0.5, 0.6, 0.7],
            "delta_stds": [[0.1, 0.1, 0.2, 0.2], [0.05, 0.05, 0.1, 0.1], [0.033, 0.033, 0.067, 0.067]],
            "average": "logits",
        },
    },
}
_MASK: Settings = {"pool_size": 14, "num_convs": 4, "channels": 256}
_KINDS["mask_rcnn"] = _KINDS["faster_rcnn"] | {"mask": _MASK}
_KINDS["cascade_mask_rcnn"] = _KINDS["cascade_rcnn"] | {"mask": _MASK | {"per_stage": True}}
_WITH_MASKS = {"faster_rcnn": "mask_rcnn", "cascade_rcnn": "cascade_mask_rcnn"}
_BLOCKS = {6: 50, 23: 101, 36: 152}  # blocks of the third layer -> layers of the network
CLASS_BIASES = {  # of the classifier, of a cascade that of its first stage
    "faster_rcnn": "roi_head.bbox_head.fc_cls.bias",
    "cascade_rcnn": "roi_head.bbox_head.0.fc_cls.bias",
}
MASK_BIASES = {  # of the mask head, of a cascade that of its first stage
    "faster_rcnn": "roi_head.mask_head.conv_logits.bias",
    "cascade_rcnn": "roi_head.mask_head.0.conv_logits.bias",
}


def import_mmdetection(file: Path, classes: Sequence[str] | None = None, overrides: Sequence[str] = ()) -> Checkpoint:
    """Return the checkpoint of a Faster, Cascade, Mask or Cascade Mask R-CNN on a ResNet with an FPN.

    Kind and depth (50, 101 or 152 layers) are read from the names of its tensors; class names, and whether the ResNet
    is Caffe's, from the file's ``meta``, and so are the settings of its configuration. No code in the file is run.

    file: a published .pth file, or one that mmdetection's publish_model.py has written. classes: names of its labels;
    None for those of the file, else COCO's 80 or VOC's 20. overrides: KEY=VALUE settings over the layout's.
    Raises UserError if the file is unreadable or contains something else.
    """
    content = load_torch_file(file)
    wrapped: Settings = content if isinstance(content, dict) else {}
    meta: Settings = wrapped["meta"] if isinstance(wrapped.get("meta"), dict) else {}
    state = require_state_dict(wrapped.get("state_dict", content), file)
    names = classes if classes is not None else classes_of_meta(meta)
    file_settings = settings_of_text(text_of_meta(meta), str(file))
    return convert_mmdetection_state(state, str(file), names, overrides, style_of_meta(meta), file_settings)


def assumed_settings(file: Path, checkpoint: Checkpoint, overrides: Sequence[str] = ()) -> str | None:
    """Return a line on the settings of an imported checkpoint that neither its file nor ``overrides`` has, or None."""
    content = load_torch_file(file)
    meta = content.get("meta") if isinstance(content, dict) else None
    file_settings = settings_of_text(text_of_meta(meta if isinstance(meta, dict) else {}), str(file))
    known = {*file_settings, *(override.partition("=")[0] for override in overrides)}
    settings = dict(dotted_keys(to_dict(checkpoint.config)))
    assumed = [f"{key} {settings[key]}" for key in KEYS if key not in known]
    return f"{file}: assumed, as the file does not say it (others: --set): {', '.join(assumed)}" if assumed else None


def convert_mmdetection_state(
    state: StateDict,
    source: str,
    classes: Sequence[str] | None = None,
    overrides: Sequence[str] = (),
    style: str = "pytorch",
    file_settings: Mapping[str, Any] | None = None,
) -> Checkpoint:
    """Return the checkpoint of a state dict that is loaded already; source: its name in error messages.

    style: of its ResNet, pytorch or caffe; file_settings: those of the configuration in the file, by our keys, which
    replace those that are assumed.
    """
    kind = next((kind for kind, name in CLASS_BIASES.items() if name in state), None)
    num_blocks = sum(re.fullmatch(r"backbone\.layer3\.\d+\.conv1\.weight", name) is not None for name in state)
    if kind is None or num_blocks not in _BLOCKS:
        raise UserError(
            f"{source}: expected a Faster, Cascade, Mask or Cascade Mask R-CNN of mmdetection's (2 or later) on a "
            "ResNet with an FPN, found other weights"
        )
    names = class_names(len(state[CLASS_BIASES[kind]]) - 1, source, classes, (coco80(), VOC))
    kind = _WITH_MASKS[kind] if MASK_BIASES[kind] in state else kind
    layout = _with_file_settings(mmdetection_config(kind, _BLOCKS[num_blocks], style), file_settings or {}, source)
    expected = f"{source}: expected the weights of mmdetection's {kind}_r{_BLOCKS[num_blocks]}_fpn"
    weights = require_complete(from_mmdetection(state), layout, names, expected)
    config = with_overrides(layout, overrides)
    if overrides:
        require_complete(weights, config, names, f"--set: expected a network that the weights of {kind} fit")
    return Checkpoint(config, names, build_preprocess(config), weights, step=0, metrics={})


def _with_file_settings(layout: Config, file_settings: Mapping[str, Any], source: str) -> Config:
    """Return the settings with those of a file's configuration. Raises UserError for values that they cannot have."""
    settings = settings_to_merge(layout)
    for key, setting in file_settings.items():
        settings = deep_merge(settings, nest(key.split("."), setting))
    return parse_config(settings, f"{source}: its configuration")


def mmdetection_config(kind: str, depth: int, style: str) -> Config:
    """Return the settings of a kind, of _KINDS, on a ResNet of ``depth`` layers, FPN, on COCO."""
    name = f"resnet{depth}" if style == "pytorch" else f"resnet{depth}_original"
    model = {
        "kind": kind.replace("cascade_mask_", "cascade_"),
        "pool": "roi_align",
        "preprocess": _STYLES[style],
        "backbone": {"name": name, "norm": "frozen", "frozen_stages": 2, "output": "fpn", "neck_channels": 256},
        "regions": {"sampling_ratio": 0, "aligned": True},
        "postprocess": {"score_threshold": 0.05, "nms_iou": 0.5, "max_detections": 100},
        **_KINDS[kind],
    }
    data = {"format": "coco", "root": "data/coco", "min_size": 800, "max_size": 1333, "size_divisor": 32}
    return parse_config({"model": model, "data": data}, f"{kind}_r{depth}_fpn")


def classes_of_meta(meta: Settings) -> tuple[str, ...] | None:
    """Return the class names that a file has: meta["CLASSES"] in 2.x, meta["dataset_meta"] in 3.x; None without."""
    of_data = meta.get("dataset_meta")
    listed = [meta.get("CLASSES")]
    if isinstance(of_data, dict):
        listed += [of_data.get("classes"), of_data.get("CLASSES")]
    names_of_file = next((names for names in listed if isinstance(names, list | tuple) and names), None)
    return None if names_of_file is None else tuple(map(str, names_of_file))


def text_of_meta(meta: Settings) -> str:
    """Return the text of a file's configuration: meta["cfg"] in 3.x, meta["config"] in 2.x; empty without."""
    return next((text for key in ("cfg", "config") if isinstance(text := meta.get(key), str)), "")


def style_of_meta(meta: Settings) -> str:
    """Return the style of the ResNet in the text of the configuration that a file has; pytorch without one."""
    return "caffe" if re.search(r"""style=["']caffe["']""", text_of_meta(meta)) else "pytorch"
