"""Detectors imported from torchvision and detectron2, and detectors with SVMs, as graphs in both runtimes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from detect.checkpoints.checkpoint import save_checkpoint
from detect.checkpoints.detectron2_import import convert_detectron2_state
from detect.config.files import parse_config
from detect.inference.load import load
from tests.checkpoints.fixtures_torchvision import detector_pair
from tests.checkpoints.test_detectron2_import import tensor_shapes
from tests.export.test_combinations import FAST, FC, RCNN, assert_graphs_agree, body
from tests.export.test_export_graph import needs_runtimes, save_random_model, save_scaled

TORCHVISION = (
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "maskrcnn_resnet50_fpn_v2",
)
DETECTRON2 = ("faster_rcnn_R_50_FPN", "faster_rcnn_R_50_DC5", "mask_rcnn_R_50_FPN", "cascade_mask_rcnn_R_50_FPN")
SMALL = (
    "data.min_size=128",
    "data.max_size=192",
    "model.rpn.pre_nms_top_n_test=400",
    "model.rpn.post_nms_top_n_test=60",
)
SVM = {"classifier": "svm"}
SVMS = {
    "rcnn": RCNN | body("mobilenet_v2") | {"crop": {"size": 224}} | SVM,
    "fast_rcnn on fc1": FAST | body("vgg16", "c4") | {"head": FC | {"svm_features": "fc1"}} | SVM,
    "fast_rcnn on the map": FAST | body("mobilenet_v2", "merged") | {"head": FC | {"svm_features": "map"}} | SVM,
}


def save_torchvision(layout: str, file: Path) -> Path:
    """Return the file of a detector of torchvision with random weights that give many detections."""
    save_checkpoint(detector_pair(layout).checkpoint, file)
    return file


def save_detectron2(layout: str, file: Path) -> Path:
    """Return the file of a detector of detectron2, by the names and shapes of its tensors, with random weights."""
    generator = torch.Generator().manual_seed(1)
    state = {}
    for name, shape in tensor_shapes(layout).items():
        fan_in = max(1, int(np.prod(shape[1:])))
        state[name] = torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5
        if name.endswith(("norm.weight", "running_var")):
            state[name] = torch.rand(shape, generator=generator) * 0.5 + 0.75
    checkpoint = convert_detectron2_state(state, "test", overrides=SMALL)
    return save_scaled(checkpoint.config, checkpoint.classes, file, checkpoint.weights)


def save_svms(name: str, file: Path) -> Path:
    """Return the file of a detector whose classifier is one linear SVM a class."""
    settings = {"seed": 1, "model": SVMS[name], "data": {"min_size": 112, "max_size": 160, "size_divisor": 16}}
    config = parse_config(settings | {"train": {"steps": 1, "recipe": "rcnn"}}, "test")
    return save_random_model(config, file)


CASES: dict[str, tuple[Callable[[str, Path], Path], str]] = {
    **{f"torchvision {name}": (save_torchvision, name) for name in TORCHVISION},
    **{f"detectron2 {name}": (save_detectron2, name) for name in DETECTRON2},
    **{f"svm {name}": (save_svms, name) for name in SVMS},
}


@needs_runtimes
@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_graphs_detect_what_the_imported_model_detects(case: str, tmp_path: Path) -> None:
    save, name = CASES[case]
    assert_graphs_agree(load(save(name, tmp_path / "model.pt"), "cpu"), tmp_path)
