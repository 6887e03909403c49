"""Settings of detectron2's R-CNNs: its configs/Base-RCNN-*.yaml over config/defaults.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from detect.config import Config
from detect.config.files import parse_config

Settings = dict[str, Any]

_RPN: Settings = {
    "anchor_sizes": [32, 64, 128, 256, 512],  # all at each cell of a single map, or one for each map of a pyramid
    "aspect_ratios": [0.5, 1.0, 2.0],
    "anchor_offset": 0.0,
    "positive_iou": 0.7,
    "negative_iou": [0.0, 0.3],
    "batch_size_per_image": 256,
    "positive_fraction": 0.5,
    "allowed_border": None,
    "smooth_l1_beta": 0.0,
    "loss_average": "batch",
    "nms_iou": 0.7,
    "pre_nms_top_n_train": 12000,
    "post_nms_top_n_train": 2000,
    "pre_nms_top_n_test": 6000,
    "post_nms_top_n_test": 1000,
}
_HEAD: Settings = {
    "batch_size_per_image": 512,
    "positive_fraction": 0.25,
    "positive_iou": 0.5,
    "negative_iou": [0.0, 0.5],
    "smooth_l1_beta": 0.0,
}
_FC_HEAD = _HEAD | {"type": "fc", "fc_dim": 1024, "pool_size": 7}
_SHARED: Settings = {
    "pool": "roi_align",
    "preprocess": {"resize": "pil", "channels": "bgr", "mean": [123.675, 116.28, 103.53], "std": [1, 1, 1]},
    "regions": {"sampling_ratio": 0, "aligned": True},
    "postprocess": {"score_threshold": 0.05, "nms_iou": 0.5, "max_detections": 100},
    "search": {"train_top_n": 2000, "test_top_n": 1000},  # Fast R-CNN's, of its precomputed proposals
}
_CUTS: dict[str, Settings] = {  # backbone, RPN and head, which differ
    "C4": {"backbone": {}, "rpn": {"channels": 1024}, "head": _HEAD | {"type": "backbone", "pool_size": 14}},
    "DC5": {"backbone": {"output": "dc5"}, "rpn": {"channels": 2048}, "head": _FC_HEAD},
    "FPN": {
        "backbone": {"output": "fpn", "fpn_levels": 4, "neck_channels": 256},
        "rpn": {"channels": 256, "pre_nms_top_n_train": 2000, "post_nms_top_n_train": 1000, "pre_nms_top_n_test": 1000},
        "head": _FC_HEAD,
    },
}
_CASCADE: Settings = {  # its configs/Misc/cascade_mask_rcnn_R_50_FPN_*.yaml
    "cascade": {"ious": [0.5, 0.6, 0.7]},
    "head": _FC_HEAD | {"class_agnostic": True},
    "rpn": _RPN | _CUTS["FPN"]["rpn"] | {"post_nms_top_n_train": 2000},
}
_MASK: Settings = {"pool_size": 14, "num_convs": 4, "channels": 256}
_BLOCKS = {6: 50, 23: 101, 36: 152}  # blocks of the fourth stage -> layers of the network
SIGNATURE_KEYS = {  # a tensor that only one cut has
    "roi_heads.res5.0.conv1.weight": "C4",
    "backbone.bottom_up.res5.0.conv1.weight": "FPN",
    "backbone.res5.0.conv1.weight": "DC5",
}
MASK_BIAS = "roi_heads.mask_head.predictor.bias"
CLASS_BIASES = {  # of the classifier, of a cascade that of its first stage
    "faster_rcnn": "roi_heads.box_predictor.cls_score.bias",
    "cascade_rcnn": "roi_heads.box_predictor.0.cls_score.bias",
}


@dataclass(frozen=True)
class Detectron2Layout:
    """kind: faster_rcnn, fast_rcnn, cascade_rcnn or mask_rcnn; depth: 50, 101 or 152 layers; cut: C4, DC5 or FPN.

    masks: whether there is a mask head, as in each mask_rcnn.
    """

    kind: str
    depth: int
    cut: str
    masks: bool = False

    def __str__(self) -> str:
        """Return detectron2's name of the configuration, without the schedule."""
        kind = self.kind.replace("cascade_", "cascade_mask_") if self.masks else self.kind
        return f"{kind}_R_{self.depth}_{self.cut}"


def detect_layout(state: Mapping[str, Tensor]) -> Detectron2Layout | None:
    """Return the layout that has tensors of these names; None if no layout has.

    A mask head of C4, which shares its layers with the box head, is not part of any.
    """
    cut = next((cut for key, cut in SIGNATURE_KEYS.items() if key in state), None)
    body = "backbone.bottom_up." if cut == "FPN" else "backbone."
    num_blocks = sum(name.startswith(f"{body}res4.") and name.endswith(".conv1.weight") for name in state)
    if cut is None or num_blocks not in _BLOCKS:
        return None
    has_rpn = any(name.startswith("proposal_generator.rpn_head.") for name in state)
    masks = MASK_BIAS in state and cut != "C4"
    kind = ("mask_rcnn" if masks else "faster_rcnn") if has_rpn else "fast_rcnn"
    kind = "cascade_rcnn" if CLASS_BIASES["cascade_rcnn"] in state else kind
    return None if kind == "cascade_rcnn" and cut != "FPN" else Detectron2Layout(kind, _BLOCKS[num_blocks], cut, masks)


def detectron2_config(layout: Detectron2Layout) -> Config:
    """Return the settings of a layout that was trained from MSRA's ImageNet weights, as in detectron2's model zoo."""
    cut = _CUTS[layout.cut]
    backbone = {"name": f"resnet{layout.depth}_original", "norm": "frozen", "frozen_stages": 2} | cut["backbone"]
    model = _SHARED | {"kind": layout.kind, "backbone": backbone, "rpn": _RPN | cut["rpn"], "head": cut["head"]}
    model |= _CASCADE if layout.kind == "cascade_rcnn" else {}
    model |= {"mask": _MASK} if layout.masks else {}
    data = {
        "format": "coco",
        "root": "data/coco",
        "min_size": 800,
        "max_size": 1333,
        "size_divisor": 32 if layout.cut == "FPN" else 1,
    }
    return parse_config({"model": model, "data": data}, str(layout))
