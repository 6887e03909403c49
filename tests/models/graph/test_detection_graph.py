"""The graph of a detector detects what the detector detects, with fixed numbers of boxes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from detect.config.builders.detector import build_detector
from detect.config.files import parse_config
from detect.models.detector import Detector
from detect.models.graph.detection_graph import DetectionGraph
from detect.models.graph.proposals import GraphProposals, fixed_number
from detect.models.graph.regions import adaptive_max_pool
from detect.models.graph.selection import top_n
from detect.ops.grouped_nms import NO_SCORE
from detect.types import Detections, Images, Proposals

CLASSES = ("cat", "dog", "cow")
SIZE, DIVISOR = (75, 91), 16
NECK = {"name": "small", "norm": "frozen", "output": "merged", "neck_channels": 16}
PYRAMID: dict[str, Any] = {
    "backbone": NECK | {"output": "fpn", "fpn_levels": 3},
    "rpn": {"anchor_sizes": [12, 20, 32, 48]},
}
HEAD = {"type": "fc", "fc_dim": 32, "pool_size": 4}
VARIANTS: dict[str, dict[str, Any]] = {
    "faster": {},
    "no deltas": {"postprocess": {"box_regression": False}, "rpn": {"box_regression": False}},
    "few of each class": {"postprocess": {"pre_nms_top_n_per_class": 3}},
    "thresholds": {"rpn": {"score_threshold": 0.4, "min_size": 9.0}, "postprocess": {"min_size": 10.0}},
    "adaptive samples": {"regions": {"sampling_ratio": 0, "aligned": False}, "rpn": {"anchor_stride": "canvas"}},
    "own tail": {"backbone": {"name": "small"}, "head": {"type": "backbone", "pool_size": None}},
    "pyramid": PYRAMID,
    "fast": {"kind": "fast_rcnn", "pool": "roi_pool"},
    "cascade": {"kind": "cascade_rcnn", "cascade": {"ious": [0.5, 0.6]}, "head": HEAD | {"class_agnostic": False}},
    "cascade of logits": {"kind": "cascade_rcnn", "cascade": {"ious": [0.5, 0.6], "average": "logits"}},
    "masks": PYRAMID | {"kind": "mask_rcnn", "mask": {"pool_size": 4, "num_convs": 1, "channels": 8}},
    "rcnn": {"kind": "rcnn", "backbone": {"name": "small"}, "head": {"type": "backbone", "pool_size": None}},
}


def build(**settings: Any) -> Detector:
    """A detector whose output layers tell one box from another."""
    settings = {"kind": "faster_rcnn", "backbone": NECK, "head": HEAD} | settings
    settings["postprocess"] = {"score_threshold": 0.05} | settings.get("postprocess", {})
    if settings["kind"] in ("rcnn", "fast_rcnn"):
        settings |= {"proposals": "selective_search", "search": {"test_top_n": 30}}
    else:
        rpn = {"channels": 16, "anchor_sizes": [12, 24, 48], "pre_nms_top_n_test": 150, "post_nms_top_n_test": 40}
        settings["rpn"] = rpn | {"allowed_border": None} | settings.get("rpn", {})
    train = {"epochs": 1, "recipe": "rcnn" if settings["kind"] == "rcnn" else "joint"}
    config = parse_config({"seed": 1, "model": settings, "train": train}, "test")
    detector = build_detector(config, CLASSES)[0].eval()
    generator = torch.Generator().manual_seed(4)
    for name, parameter in detector.named_parameters():
        if name.endswith(("objectness.weight", "logits.weight")):
            torch.nn.init.normal_(parameter.data, std=0.5, generator=generator)
        if name.endswith("deltas.weight"):
            torch.nn.init.normal_(parameter.data, std=0.1, generator=generator)
    return detector


def random_proposals(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.rand(count, 2, 2, generator=generator).sort(1).values.reshape(-1, 4) * min(SIZE)


def run_both(detector: Detector, num_proposals: int = 25) -> tuple[Detections, dict[str, Tensor]]:
    """The detections of a detector and the arrays of its graph, for the same image."""
    image = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(2))
    padded = functional.pad(image, (0, -SIZE[1] % DIVISOR, 0, -SIZE[0] % DIVISOR))
    graph = DetectionGraph(detector, DIVISOR)
    boxes = random_proposals(num_proposals) if graph.needs_proposals else None
    proposals = None if boxes is None else (Proposals(boxes, torch.zeros(len(boxes))),)
    with torch.inference_mode():
        detections = detector.detect(Images(padded, (SIZE,), (0,), proposals))[0]
        arrays = dict(zip(graph.outputs, graph(image, boxes), strict=True))
    return detections, arrays


def assert_same(detections: Detections, arrays: dict[str, Tensor]) -> None:
    count = int(arrays["count"])
    assert count == len(detections)
    torch.testing.assert_close(arrays["boxes"][:count], detections.boxes, atol=1e-3, rtol=0)
    torch.testing.assert_close(arrays["scores"][:count], detections.scores, atol=1e-5, rtol=0)
    assert torch.equal(arrays["labels"][:count], detections.labels)
    for array in (arrays[name] for name in arrays if name != "count"):
        assert not array[count:].any()
    assert ("masks" in arrays) == (detections.masks is not None)
    if detections.masks is not None:
        torch.testing.assert_close(arrays["masks"][:count], detections.masks, atol=1e-5, rtol=0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_graph_detects_the_same(variant: str) -> None:
    detections, arrays = run_both(build(**VARIANTS[variant]))
    assert len(detections) >= 5
    assert_same(detections, arrays)


@pytest.mark.parametrize("variant", ["faster", "fast", "masks", "rcnn"])
def test_nothing_above_the_threshold_is_no_detection(variant: str) -> None:
    settings = VARIANTS[variant] | {"postprocess": {"score_threshold": 1.0}}
    detections, arrays = run_both(build(**settings))
    assert len(detections) == 0
    assert_same(detections, arrays)


@pytest.mark.parametrize("variant", ["faster", "fast", "rcnn"])
def test_more_candidates_than_detections(variant: str) -> None:
    detections, arrays = run_both(build(**VARIANTS[variant] | {"postprocess": {"max_detections": 4}}))
    assert len(detections) == 4
    assert_same(detections, arrays)


@pytest.mark.parametrize("num_proposals", [1, 30, 50])
@pytest.mark.parametrize("variant", ["fast", "rcnn"])
def test_any_number_of_proposals(variant: str, num_proposals: int) -> None:
    detections, arrays = run_both(build(**VARIANTS[variant]), num_proposals)
    assert 0 < len(detections) <= len(arrays["scores"])
    assert_same(detections, arrays)


@pytest.mark.parametrize(("rows", "count"), [(0, 2), (1, 3), (5, 3)])
def test_fixed_number_has_the_valid_ones_in_order(rows: int, count: int) -> None:
    boxes, is_valid = torch.arange(rows * 4.0).view(rows, 4), torch.arange(rows) % 2 == 0
    fixed = fixed_number(GraphProposals(boxes, is_valid), count)
    expected = boxes[is_valid][:count]
    assert fixed.is_valid.tolist() == [i < len(expected) for i in range(count)]
    assert torch.equal(fixed.boxes[: len(expected)], expected)


@pytest.mark.parametrize(
    ("scores", "expected"), [([], [NO_SCORE] * 2), ([1.0], [1.0, NO_SCORE]), ([1, 3, 2.0], [3, 2])]
)
def test_top_n_is_padded(scores: list[float], expected: list[float]) -> None:
    assert top_n(torch.tensor([scores]), 2)[0].tolist() == [expected]


def test_random_ranks_are_refused() -> None:
    with pytest.raises(ValueError, match="objectness, found random ranks"):
        run_both(build(rpn={"rank": "random"}))


@pytest.mark.parametrize(
    ("shape", "count"), [((0, 2, 6, 6), 3), ((2, 3, 13, 13), 6), ((2, 1, 7, 10), 7), ((1, 1, 5, 5), 5)]
)
def test_adaptive_max_pool_has_the_bins_of_torch(shape: tuple[int, ...], count: int) -> None:
    features = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    assert torch.equal(adaptive_max_pool(features, count), functional.adaptive_max_pool2d(features, count))
