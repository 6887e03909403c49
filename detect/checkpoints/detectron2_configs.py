"""detectron2's Faster and Fast R-CNNs as our settings: its configs/Base-RCNN-*.yaml over its config/defaults.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from detect.config import Config
from detect.config.files import parse

Settings = dict[str, Any]

_RPN: Settings = {
    "sides": [32, 64, 128, 256, 512],  # all at each cell of one map, or one a map of a pyramid
    "ratios": [0.5, 1.0, 2.0],
    "offset": 0.0,
    "foreground": 0.7,
    "background": [0.0, 0.3],
    "number": 256,
    "share": 0.5,
    "outside": None,
    "beta": 0.0,
    "average": "batch",
    "nms": 0.7,
    "train_before": 12000,
    "train_after": 2000,
    "test_before": 6000,
    "test_after": 1000,
}
_HEAD: Settings = {"number": 512, "share": 0.25, "foreground": 0.5, "background": [0.0, 0.5], "beta": 0.0}
_TWO_LINEAR = _HEAD | {"tail": "linear", "width": 1024, "bins": 7}
_SHARED: Settings = {
    "pool": "roi_align",
    "preprocess": {"resize": "pil", "channels": "bgr", "mean": [123.675, 116.28, 103.53], "std": [1, 1, 1]},
    "regions": {"samples": 0, "aligned": True},
    "postprocess": {"score": 0.05, "nms": 0.5, "limit": 100},
    "search": {"train_number": 2000, "test_number": 1000},  # Fast R-CNN's: of the proposals that it is given
}
_CUTS: dict[str, Settings] = {  # backbone, RPN and head where they differ
    "C4": {"backbone": {}, "rpn": {"width": 1024}, "head": _HEAD | {"tail": "network", "bins": 14}},
    "DC5": {"backbone": {"output": "dilated"}, "rpn": {"width": 2048}, "head": _TWO_LINEAR},
    "FPN": {
        "backbone": {"output": "pyramid", "levels": 4, "width": 256},
        "rpn": {"width": 256, "train_before": 2000, "train_after": 1000, "test_before": 1000},
        "head": _TWO_LINEAR,
    },
}
_BLOCKS = {6: 50, 23: 101, 36: 152}  # of the fourth stage -> layers
MARKS = {  # a tensor that only one cut has
    "roi_heads.res5.0.conv1.weight": "C4",
    "backbone.bottom_up.res5.0.conv1.weight": "FPN",
    "backbone.res5.0.conv1.weight": "DC5",
}


@dataclass(frozen=True)
class Layout:
    """kind: faster_rcnn or fast_rcnn; depth: 50, 101 or 152 layers; cut: C4, DC5 or FPN."""

    kind: str
    depth: int
    cut: str

    def __str__(self) -> str:
        """As detectron2 names its configurations, without the schedule."""
        return f"{self.kind}_R_{self.depth}_{self.cut}"


def seen_layout(state: Mapping[str, Tensor]) -> Layout | None:
    """Which one the names of a file's tensors are of; None where they are of none."""
    cut = next((cut for mark, cut in MARKS.items() if mark in state), None)
    body = "backbone.bottom_up." if cut == "FPN" else "backbone."
    blocks = sum(name.startswith(f"{body}res4.") and name.endswith(".conv1.weight") for name in state)
    if cut is None or blocks not in _BLOCKS:
        return None
    learned = any(name.startswith("proposal_generator.rpn_head.") for name in state)
    return Layout("faster_rcnn" if learned else "fast_rcnn", _BLOCKS[blocks], cut)


def layout_config(layout: Layout) -> Config:
    """The settings of a layout that was trained from the ImageNet weights of its zoo, MSRA's."""
    cut = _CUTS[layout.cut]
    backbone = {"name": f"resnet{layout.depth}_original", "norm": "frozen", "frozen_stages": 2} | cut["backbone"]
    model = _SHARED | {"kind": layout.kind, "backbone": backbone, "rpn": _RPN | cut["rpn"], "head": cut["head"]}
    data = {
        "format": "coco",
        "root": "data/coco",
        "min_size": 800,
        "max_size": 1333,
        "divisor": 32 if layout.cut == "FPN" else 1,
    }
    return parse({"model": model, "data": data}, str(layout))
