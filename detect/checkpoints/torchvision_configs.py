"""Settings of torchvision's Faster and Mask R-CNNs, with all numbers of torchvision.models.detection 0.29."""

from __future__ import annotations

from typing import Any

from torchvision.models import WeightsEnum
from torchvision.models import detection as theirs

from detect.checkpoints.fold_norms import DEFAULT_EPS
from detect.config import Config
from detect.config.files import parse_config

Settings = dict[str, Any]

_RPN: Settings = {
    "channels": 256,
    "aspect_ratios": [0.5, 1.0, 2.0],
    "anchor_offset": 0.0,
    "round_anchors": True,
    "anchor_stride": "canvas",
    "positive_iou": 0.7,
    "negative_iou": [0.0, 0.3],
    "batch_size_per_image": 256,
    "positive_fraction": 0.5,
    "allowed_border": None,
    "smooth_l1_beta": 1 / 9,
    "loss_average": "batch",
    "nms_iou": 0.7,
    "min_size": 1e-3,
    "pre_nms_top_n_train": 2000,
    "post_nms_top_n_train": 2000,
    "pre_nms_top_n_test": 1000,
    "post_nms_top_n_test": 1000,
}
_HEAD: Settings = {
    "fc_dim": 1024,
    "pool_size": 7,
    "batch_size_per_image": 512,
    "positive_fraction": 0.25,
    "smooth_l1_beta": 1 / 9,
    "delta_stds": [0.1, 0.1, 0.2, 0.2],
}
_SHARED: Settings = {
    "preprocess": {"resize": "float"},
    "regions": {"sampling_ratio": 2, "aligned": False},
    "head": _HEAD | {"type": "fc"},
    "postprocess": {"score_threshold": 0.05, "nms_iou": 0.5, "max_detections": 100, "min_size": 1e-2},
}
# The first two of five stages are frozen: torchvision trains three of ResNet's when it starts from published weights.
_RESNET50: Settings = {
    "name": "resnet50",
    "norm": "frozen",
    "frozen_stages": 2,
    "output": "fpn",
    "fpn_levels": 4,
    "neck_channels": 256,
}
# Two maps of stride 32: the last stage after its first block, and after its last layer.
_MOBILENET_V3_LARGE: Settings = _RESNET50 | {
    "name": "mobilenet_v3_large",
    "frozen_stages": 3,
    "fpn_levels": 2,
    "split_last_stage": 1,
}
_ONE_SIZE_PER_MAP = {"anchor_sizes": [32, 64, 128, 256, 512]}
_ALL_SIZES_ON_EACH_MAP = {"anchor_sizes": [[32, 64, 128, 256, 512]] * 3}
_MASK: Settings = {"pool_size": 14, "num_convs": 4, "channels": 256}
_COCO: Settings = {"format": "coco", "root": "data/coco", "min_size": 800, "max_size": 1333, "size_divisor": 32}

LAYOUTS: dict[str, Settings] = {
    "fasterrcnn_resnet50_fpn": {
        "model": _SHARED | {"backbone": _RESNET50, "rpn": _RPN | _ONE_SIZE_PER_MAP},
        "data": _COCO,
    },
    "fasterrcnn_resnet50_fpn_v2": {
        "model": _SHARED
        | {
            "backbone": _RESNET50 | {"norm": "batch", "neck_norm": "batch"},
            "rpn": _RPN | _ONE_SIZE_PER_MAP | {"num_convs": 2},
            "head": _HEAD | {"type": "conv_fc", "num_convs": 4, "norm": "batch"},
        },
        "data": _COCO,
    },
    "fasterrcnn_mobilenet_v3_large_fpn": {
        "model": _SHARED
        | {"backbone": _MOBILENET_V3_LARGE, "rpn": _RPN | _ALL_SIZES_ON_EACH_MAP | {"score_threshold": 0.05}},
        "data": _COCO,
    },
    "fasterrcnn_mobilenet_v3_large_320_fpn": {
        "model": _SHARED
        | {
            "backbone": _MOBILENET_V3_LARGE,
            "rpn": _RPN
            | _ALL_SIZES_ON_EACH_MAP
            | {"score_threshold": 0.05, "pre_nms_top_n_test": 150, "post_nms_top_n_test": 150},
        },
        "data": _COCO | {"min_size": 320, "max_size": 640},
    },
}
LAYOUTS |= {  # the same with a mask head
    layout.replace("fasterrcnn", "maskrcnn"): {
        "model": LAYOUTS[layout]["model"] | {"kind": "mask_rcnn", "mask": _MASK | {"norm": norm}},
        "data": _COCO,
    }
    for layout, norm in (("fasterrcnn_resnet50_fpn", None), ("fasterrcnn_resnet50_fpn_v2", "batch"))
}
PUBLISHED: dict[str, WeightsEnum] = {
    "fasterrcnn_resnet50_fpn": theirs.FasterRCNN_ResNet50_FPN_Weights.COCO_V1,
    "fasterrcnn_resnet50_fpn_v2": theirs.FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1,
    "fasterrcnn_mobilenet_v3_large_fpn": theirs.FasterRCNN_MobileNet_V3_Large_FPN_Weights.COCO_V1,
    "fasterrcnn_mobilenet_v3_large_320_fpn": theirs.FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1,
    "maskrcnn_resnet50_fpn": theirs.MaskRCNN_ResNet50_FPN_Weights.COCO_V1,
    "maskrcnn_resnet50_fpn_v2": theirs.MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1,
}
PUBLISHED_EPS = dict.fromkeys(LAYOUTS, DEFAULT_EPS) | {
    "fasterrcnn_resnet50_fpn": 0.0,
    "maskrcnn_resnet50_fpn": 0.0,
}


def torchvision_config(layout: str) -> Config:
    """Return the settings of one of LAYOUTS."""
    return parse_config(LAYOUTS[layout], layout)


def num_sizes_per_map(config: Config) -> int:
    """Return the number of anchor sizes of one map."""
    first = config.model.rpn.anchor_sizes[0]
    return len(first) if isinstance(first, tuple) else 1


def coco_classes(layout: str) -> tuple[str, ...]:
    """Return the names of the 90 labels of the published weights; an id without a class is N/A and its number."""
    names = PUBLISHED[layout].meta["categories"]
    return tuple(f"N/A {label}" if name == "N/A" else name for label, name in enumerate(names) if label)
