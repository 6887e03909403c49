from __future__ import annotations

import pytest
import torch
from torch import nn

from detect.config.builders.detector import build_uninitialized
from detect.config.files import parse_config
from detect.inference.optimize import optimize_detector, output_layers


@pytest.mark.parametrize(
    ("kind", "count"), [("rcnn", 2), ("fast_rcnn", 2), ("faster_rcnn", 4), ("mask_rcnn", 4), ("cascade_rcnn", 8)]
)
def test_output_layers_alone_stay_in_float32(kind: str, count: int) -> None:
    recipe = {"train": {"recipe": "rcnn", "steps": 1}} if kind == "rcnn" else {}
    config = parse_config({"model": {"kind": kind, "backbone": {"name": "resnet18"}}} | recipe, "tiny.yaml")
    detector = build_uninitialized(config, ("cat", "dog")).eval()
    optimize_detector(detector, torch.bfloat16)
    kept = [layer for layers in output_layers(detector) for layer in layers.values()]
    assert len(kept) == count
    assert {layer.weight.dtype for layer in kept} == {torch.float32}
    others = [
        layer
        for layer in detector.modules()
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) and not any(layer is one for one in kept)
    ]
    assert {layer.weight.dtype for layer in others} == {torch.bfloat16}
