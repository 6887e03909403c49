"""Detections of an image do not depend on the other images of its batch, where they share a canvas."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from detect.config.builders.detector import build_detector
from detect.config.files import parse_config
from detect.models.detector import Detector
from detect.types import Detections, Images
from tests.models.backbones.expected_networks import TABLE
from tests.models.backbones.test_smallest_networks import SMALLEST, build, fill

SMALLEST_CANVAS = (32, 32)  # data.size_divisor, unless it is set
ODD_CANVAS = (75, 107)
PICTURES = {SMALLEST_CANVAS: ((32, 32), (1, 5), (31, 17)), ODD_CANVAS: ((75, 107), (41, 107), (75, 33))}  # of a batch

QUICK = ("small", "lenet", "squeezenet1_1", "mobilenet_v3_small")  # the others take seconds


def batch(canvas: tuple[int, int]) -> Images:
    """Pictures of several sizes on one canvas, noise of a strength of its own in each, 0 beyond them."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.zeros(3, 3, *canvas, dtype=torch.float64)
    for index, (height, width) in enumerate(PICTURES[canvas]):
        pixels[index, :, :height, :width] = torch.randn(3, height, width, generator=generator) * (1 + 4 * index)
    return Images(pixels, PICTURES[canvas], (0, 1, 2))


def alone(images: Images, index: int) -> Images:
    return Images(images.pixels[index : index + 1], images.sizes[index : index + 1], images.seeds[index : index + 1])


def rows(detections: Detections) -> Tensor:
    """Score, label and box of each, (D, 6); equal scores, of regions with one content, in an order of their own."""
    each = torch.cat([detections.scores[:, None], detections.labels[:, None], detections.boxes], 1)
    order = sorted(range(len(each)), key=lambda index: [round(value, 6) for value in each[index].tolist()])
    return each[order]


def detector(name: str) -> Detector:
    """A Faster R-CNN whose random weights tell its regions apart; float64, lest rounding decide what NMS keeps."""
    rpn = {"channels": 16, "anchor_sizes": [16, 32], "post_nms_top_n_test": 12}
    model = {"backbone": {"name": name, "norm": "batch"}, "rpn": rpn}
    torch.manual_seed(0)
    with torch.device("meta"):
        built_model = build_detector(parse_config({"model": model}, "test"), ("a", "b", "c"))[0]
    built_model.to_empty(device="cpu").double()
    fill(built_model)
    images = batch(ODD_CANVAS)
    for output in ("head.logits.weight", "head.deltas.weight"):
        built_model.get_parameter(output).data.mul_(0.1)  # or the background takes all regions of some networks
    with torch.no_grad():  # gives the normalizations their statistics
        maps = built_model.train().backbone(images.pixels)
        (stage,) = built_model.head.stages
        stage(built_model.regions(images, maps, [torch.tensor([[0.0, 0.0, 60.0, 60.0]]).double()] * 3))
    return built_model.eval()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in SMALLEST]
)
def test_detections_do_not_depend_on_the_rest_of_the_batch(name: str) -> None:
    built_model = detector(name)
    for canvas in PICTURES:
        images = batch(canvas)
        together = built_model.detect(images)
        assert sum(len(detections.boxes) for detections in together) > 5
        for index, detections in enumerate(together):
            (single,) = built_model.detect(alone(images, index))
            torch.testing.assert_close(rows(detections), rows(single), rtol=0, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SMALLEST else pytest.mark.long) for name in TABLE]
)
def test_maps_and_vectors_do_not_depend_on_the_rest_of_the_batch(name: str) -> None:
    """Every network; the smallest of each family in the slow tests, the others in the long ones.

    In float64, and normalized by the batch's own statistics: random weights of some (efficientnet_b5) magnify what
    rounding differs by batch to the whole signal.
    """
    built = build(name)
    built.full_network.double()
    for canvas in PICTURES:
        pixels = batch(canvas).pixels
        for layer in built.full_network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.reset_running_stats()
        built.full_network.train()
        built.vector(pixels)
        built.full_network.eval()
        together = built.vector(pixels)
        assert together.std(0).max() > 0.01  # they are told apart
        for index in range(len(pixels)):
            single = built.vector(pixels[index : index + 1])
            close = 1e-4 * float(single.abs().max())
            torch.testing.assert_close(together[index : index + 1], single, rtol=0, atol=close)
