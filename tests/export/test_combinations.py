"""Twelve detectors as graphs: each generation, output and body at least twice, in both runtimes, on images of 3 sizes.

Their weights are random, with output layers that are scaled so that each image has 50 detections or more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detect.data.images import read_image
from detect.export.check import MIN_AGREEMENT, same_detections
from detect.export.export_graph import make_graph
from detect.export.to_onnx import to_onnx
from detect.export.to_openvino import to_openvino
from detect.inference.load import load
from detect.inference.predictor import Predictor
from detect.inference.runtimes.sealed_files import write_sealed
from detect.types import Detections
from tests.export.test_export_graph import PHOTOS, make_config, needs_runtimes, save_random_model

FC: dict[str, Any] = {"type": "fc", "fc_dim": 32, "pool_size": 7}
# Boxes of selective search have whole pixels: pairs have an IoU of 3/10, and the last bit says if it is above 0.3.
SEARCHED_NMS = {"nms_iou": 0.3007}
RCNN: dict[str, Any] = {
    "kind": "rcnn",
    "proposals": "selective_search",
    "search": {"mode": "single", "test_top_n": 100},
    "postprocess": SEARCHED_NMS,
    "rpn": {},
    "head": {"type": "backbone", "pool_size": None},
}
FAST: dict[str, Any] = {
    "kind": "fast_rcnn",
    "proposals": "selective_search",
    "search": {"mode": "single", "test_top_n": 300},
    "postprocess": SEARCHED_NMS,
    "rpn": {},
    "head": FC,
}
RPN: dict[str, Any] = {"channels": 16, "anchor_sizes": [12, 24, 48], "allowed_border": None, "post_nms_top_n_test": 120}
FASTER: dict[str, Any] = {"kind": "faster_rcnn", "rpn": RPN, "head": FC}
CASCADE: dict[str, Any] = {"kind": "cascade_rcnn", "rpn": RPN, "cascade": {"ious": [0.5, 0.6]}, "head": FC}
MASK_HEAD = {"pool_size": 7, "num_convs": 1, "channels": 16}
MASK: dict[str, Any] = {"kind": "mask_rcnn", "rpn": RPN, "mask": MASK_HEAD, "head": FC}


def body(name: str, output: str | None = None) -> dict[str, Any]:
    settings: dict[str, Any] = {"name": name, "norm": "frozen"}
    if output is not None:
        settings["output"] = output
    if output in ("merged", "fpn"):
        settings["neck_channels"] = 16
    return {"backbone": settings}


COMBINATIONS: dict[str, dict[str, Any]] = {
    "rcnn-alexnet": RCNN | body("alexnet") | {"crop": {"size": 227}},
    "rcnn-mobilenet": RCNN | body("mobilenet_v2") | {"crop": {"size": 224}},
    "fast-vgg16-c4": FAST | body("vgg16", "c4"),
    "fast-lite0-merged": FAST | body("efficientnet_lite0", "merged"),
    "faster-alexnet-c4": FASTER | body("alexnet", "c4"),
    "faster-resnet50-dc5": FASTER | body("resnet50", "dc5"),
    "faster-mobilenet-merged": FASTER | body("mobilenet_v2", "merged"),
    "faster-resnet50-fpn": FASTER | body("resnet50", "fpn"),
    "cascade-lite0-fpn": CASCADE | body("efficientnet_lite0", "fpn"),
    "cascade-vgg16-c4": CASCADE | body("vgg16", "c4"),
    "mask-resnet50-dc5": MASK | body("resnet50", "dc5"),
    "mask-mobilenet-fpn": MASK | body("mobilenet_v2", "fpn"),
}
FPN_RPN = {"anchor_sizes": [12, 24, 48, 96, 192], "channels": 16, "post_nms_top_n_test": 120}


def images_of_three_sizes() -> list[np.ndarray]:
    """A square image, a wide one and a tall one."""
    square, wide, wider = map(read_image, PHOTOS)
    return [square, wide, np.ascontiguousarray(np.rot90(wider))]


def write_graphs(model: Predictor, folder: Path) -> dict[str, Predictor]:
    """The model in both runtimes, exported once."""
    graph, description = make_graph(model)
    onnx_model = to_onnx(graph, description, "model")
    write_sealed(folder / "model.onnx", onnx_model)
    write_sealed(folder / "model.xml", *to_openvino(onnx_model, description, "model"))
    return {"onnxruntime": load(folder / "model.onnx", "cpu"), "openvino": load(folder / "model.xml", "cpu")}


def assert_same(expected: Detections, detections: Detections, label: str) -> None:
    """At least 99% of the detections of either side are among those of the other."""
    same = same_detections(expected, detections)
    assert int(same.any(1).sum()) >= MIN_AGREEMENT * len(expected), label
    assert int(same.any(0).sum()) >= MIN_AGREEMENT * len(detections), label
    assert (expected.masks is None) == (detections.masks is None)


def assert_graphs_agree(model: Predictor, folder: Path) -> None:
    """Both graphs detect what the model does, on images of three sizes with 50 detections each and on faint noise.

    Noise and not one color: there, all anchors of a level have the same score, and rounding alone would order them.
    """
    graphs = write_graphs(model, folder)
    images = images_of_three_sizes()
    expected = [model.predict(image, 0.0) for image in images]
    assert min(map(len, expected)) >= 50
    noise = np.random.default_rng(0).integers(108, 148, (40, 60, 3), np.uint8)
    for image, detections in zip([*images, noise], [*expected, model.predict(noise, 0.0)], strict=True):
        for runtime, graph in graphs.items():
            assert_same(detections, graph.predict(image, 0.0), f"{runtime}, image of {image.shape}")


@needs_runtimes
@pytest.mark.slow
@pytest.mark.parametrize("name", COMBINATIONS)
def test_graphs_detect_what_the_model_detects(name: str, tmp_path: Path) -> None:
    settings = COMBINATIONS[name]
    if settings["backbone"].get("output") == "fpn":
        settings = settings | {"rpn": FPN_RPN}
    model = load(save_random_model(make_config(**settings), tmp_path / "model.pt"), "cpu")
    assert model.config.model.kind == settings["kind"]
    assert_graphs_agree(model, tmp_path)
