"""torchvision's Faster R-CNNs as our settings: every number of theirs, from torchvision.models.detection of 0.29."""

from __future__ import annotations

from typing import Any

from torchvision.models import WeightsEnum
from torchvision.models import detection as theirs

from detect.checkpoints.fold_norms import DEFAULT_EPS
from detect.config import Config
from detect.config.files import parse

Settings = dict[str, Any]

_RPN: Settings = {
    "width": 256,
    "ratios": [0.5, 1.0, 2.0],
    "offset": 0.0,
    "rounded": True,
    "spacing": "canvas",
    "foreground": 0.7,
    "background": [0.0, 0.3],
    "number": 256,
    "share": 0.5,
    "outside": None,
    "beta": 1 / 9,
    "average": "batch",
    "nms": 0.7,
    "min_side": 1e-3,
    "train_before": 2000,
    "train_after": 2000,
    "test_before": 1000,
    "test_after": 1000,
}
_HEAD: Settings = {"width": 1024, "bins": 7, "number": 512, "share": 0.25, "beta": 1 / 9, "stds": [0.1, 0.1, 0.2, 0.2]}
_SHARED: Settings = {
    "preprocess": {"resize": "float"},
    "regions": {"samples": 2, "aligned": False},
    "head": _HEAD | {"tail": "linear"},
    "postprocess": {"score": 0.05, "nms": 0.5, "limit": 100, "min_side": 1e-2},
}
# The first two of five stages do not learn: torchvision trains three of ResNet's when it starts from published weights.
_RESNET50: Settings = {
    "name": "resnet50",
    "norm": "frozen",
    "frozen_stages": 2,
    "output": "pyramid",
    "levels": 4,
    "width": 256,
}
# Two maps of stride 32: the last stage after its first block, and after its last layer.
_MOBILENET_V3_LARGE: Settings = _RESNET50 | {"name": "mobilenet_v3_large", "frozen_stages": 3, "levels": 2, "split": 1}
_ONE_SIDE_A_MAP = {"sides": [32, 64, 128, 256, 512]}
_ALL_SIDES_ON_EACH = {"sides": [[32, 64, 128, 256, 512]] * 3}
_COCO: Settings = {"format": "coco", "root": "data/coco", "min_size": 800, "max_size": 1333, "divisor": 32}

LAYOUTS: dict[str, Settings] = {
    "fasterrcnn_resnet50_fpn": {
        "model": _SHARED | {"backbone": _RESNET50, "rpn": _RPN | _ONE_SIDE_A_MAP},
        "data": _COCO,
    },
    "fasterrcnn_resnet50_fpn_v2": {
        "model": _SHARED
        | {
            "backbone": _RESNET50 | {"norm": "batch", "neck_norm": "batch"},
            "rpn": _RPN | _ONE_SIDE_A_MAP | {"convolutions": 2},
            "head": _HEAD | {"tail": "convolved", "convolutions": 4, "norm": "batch"},
        },
        "data": _COCO,
    },
    "fasterrcnn_mobilenet_v3_large_fpn": {
        "model": _SHARED | {"backbone": _MOBILENET_V3_LARGE, "rpn": _RPN | _ALL_SIDES_ON_EACH | {"score": 0.05}},
        "data": _COCO,
    },
    "fasterrcnn_mobilenet_v3_large_320_fpn": {
        "model": _SHARED
        | {
            "backbone": _MOBILENET_V3_LARGE,
            "rpn": _RPN | _ALL_SIDES_ON_EACH | {"score": 0.05, "test_before": 150, "test_after": 150},
        },
        "data": _COCO | {"min_size": 320, "max_size": 640},
    },
}
PUBLISHED: dict[str, WeightsEnum] = {
    "fasterrcnn_resnet50_fpn": theirs.FasterRCNN_ResNet50_FPN_Weights.COCO_V1,
    "fasterrcnn_resnet50_fpn_v2": theirs.FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1,
    "fasterrcnn_mobilenet_v3_large_fpn": theirs.FasterRCNN_MobileNet_V3_Large_FPN_Weights.COCO_V1,
    "fasterrcnn_mobilenet_v3_large_320_fpn": theirs.FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1,
}
PUBLISHED_EPS = dict.fromkeys(LAYOUTS, DEFAULT_EPS) | {"fasterrcnn_resnet50_fpn": 0.0}


def layout_config(layout: str) -> Config:
    """The settings of one of LAYOUTS."""
    return parse(LAYOUTS[layout], layout)


def anchor_sides(config: Config) -> int:
    """How many sides the anchors of one map have."""
    first = config.model.rpn.sides[0]
    return len(first) if isinstance(first, tuple) else 1


def coco_classes(layout: str) -> tuple[str, ...]:
    """The names of the published weights' 90 labels; those ids that COCO does not use are N/A and their number."""
    names = PUBLISHED[layout].meta["categories"]
    return tuple(f"N/A {label}" if name == "N/A" else name for label, name in enumerate(names) if label)
