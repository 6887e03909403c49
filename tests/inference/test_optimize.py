from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from detect.config.builders.detector import build_uninitialized
from detect.config.files import parse_config
from detect.inference.load import load
from detect.inference.optimize import optimize_detector, output_layers
from detect.models.heads.rcnn import RCNNHead
from detect.models.heads.softmax import SoftmaxHead
from detect.models.proposers.rpn_head import RPNHead


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


def tail() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(32, 8))


@pytest.mark.parametrize(
    "head", [SoftmaxHead(tail(), 8, 3), RCNNHead(tail(), 8, 32, 3), RPNHead(8, 8, 3)], ids=["softmax", "R-CNN", "RPN"]
)
def test_logits_and_deltas_are_not_rounded_to_bf16(head: nn.Module) -> None:
    for parameter in head.parameters():  # some begin as zeros
        nn.init.normal_(parameter)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        outputs: tuple[Tensor, Tensor] = head(torch.randn(4, 8, 2, 2))
    for output in outputs:
        assert output.dtype == torch.float32
        assert not torch.equal(output, output.bfloat16().float())


def test_a_detector_that_is_loaded_in_bf16_has_output_layers_in_float32() -> None:
    predictor = load(Path("detect/voc_faster_rcnn"), "cpu", "bf16")
    kept = [layer for layers in output_layers(predictor.base_detector) for layer in layers.values()]
    assert {layer.weight.dtype for layer in kept} == {torch.float32}
    assert torch.bfloat16 in {parameter.dtype for parameter in predictor.base_detector.parameters()}
