"""Regions by crops: the body on each, however they are chunked; the same parameters as Fast R-CNN."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchvision import models

from detect.config.builders.detector import build_detector
from detect.config.files import parse_config
from detect.errors import UserError
from detect.models.backbones import registry
from detect.models.backbones.network import NoBackbone, SplitNetwork, StagedBody
from detect.models.backbones.torchvision_nets import split_alexnet, split_vgg
from detect.models.detector import Detector, HeadTraining
from detect.models.heads.softmax import SoftmaxHead
from detect.models.postprocess import Postprocess
from detect.models.proposers.precomputed import PrecomputedProposals
from detect.models.proposers.proposer import ProposalSelection
from detect.models.regions.pooled import PooledRegions
from detect.models.regions.warped_crops import WarpedCrops, split_boxes
from detect.ops.matching import Matcher, ProposalSampler
from detect.ops.warp import warp
from detect.types import Images, Proposals, Targets


@pytest.mark.parametrize(
    ("counts", "max_boxes", "expected"),
    [
        ((), 2, [[]]),
        ((0,), 2, [[0]]),
        ((0, 0), 2, [[0, 0]]),
        ((2,), 2, [[2]]),
        ((3, 0, 2), 2, [[1, 0, 0], [2, 0, 0], [0, 0, 2]]),
        ((3, 0, 2), 3, [[2, 0, 0], [1, 0, 2]]),
        ((9,), 4, [[3], [3], [3]]),
        ((65,), 64, [[32], [33]]),
        ((1, 1, 1), 9, [[1, 1, 1]]),
        ((5,), 1, [[1]] * 5),
    ],
)
def test_split_boxes_keeps_order_and_limits(counts: tuple[int, ...], max_boxes: int, expected: list[list[int]]) -> None:
    numbered = torch.arange(float(sum(counts)))[:, None].repeat(1, 4)
    pieces = list(split_boxes(numbered.split(list(counts)) if counts else [], max_boxes))
    assert [[len(image_boxes) for image_boxes in piece] for piece in pieces] == expected
    for image, image_boxes in enumerate(numbered.split(list(counts)) if counts else []):
        assert torch.equal(torch.cat([piece[image] for piece in pieces]), image_boxes)


@given(st.lists(st.integers(0, 40), max_size=4), st.integers(3, 20))
def test_split_boxes_has_no_chunk_of_one_box(counts: list[int], max_boxes: int) -> None:
    sizes = [sum(map(len, piece)) for piece in split_boxes([torch.zeros(count, 4) for count in counts], max_boxes)]
    assert sum(sizes) == sum(counts)
    assert max(sizes) <= max_boxes
    assert min(sizes) >= min(sum(counts), 2)
    assert max(sizes) - min(sizes) <= 1


def images(count: int = 2) -> Images:
    pixels = torch.randn(count, 3, 48, 64, generator=torch.Generator().manual_seed(1))
    return Images(pixels, ((40, 60), (48, 50))[:count], tuple(range(count)))


def boxes(*counts: int) -> list[torch.Tensor]:
    corners = torch.rand(sum(counts), 4, generator=torch.Generator().manual_seed(2)) * 20
    return list((corners + torch.tensor([0.0, 0, 20, 20])).split(list(counts)))


class MeanColor(nn.Module):
    """A body of two maps; the last has the crop's own pixels."""

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return pixels * 0, pixels


@pytest.mark.parametrize("counts", [(0, 0), (0, 1), (5, 2)])
@pytest.mark.parametrize("chunk", [1, 3, 64])
def test_each_crop_runs_through_the_body(counts: tuple[int, int], chunk: int) -> None:
    regional = WarpedCrops(MeanColor(), 10, crop_size=10, context=2, batch_size=chunk)(images(), (), boxes(*counts))
    expected = warp(images().pixels, images().sizes, boxes(*counts), 10, 2)
    torch.testing.assert_close(regional, expected, atol=0, rtol=0)


def test_larger_map_is_pooled_like_the_last_pooling_layer() -> None:
    for side, bins, pool in ((13, 6, nn.MaxPool2d(3, 2)), (14, 7, nn.MaxPool2d(2, 2))):  # AlexNet, VGG16
        regional = WarpedCrops(MeanColor(), bins, side, context=0)(images(), (), boxes(2, 1))
        assert torch.equal(regional, pool(warp(images().pixels, images().sizes, boxes(2, 1), side, 0)))


@pytest.mark.parametrize(
    ("cut", "side", "model"),
    [(split_alexnet, 224, models.alexnet), (split_vgg, 224, models.vgg11)],
    ids=["alexnet", "vgg11"],
)
def test_tail_and_crops_equal_the_classification_network(cut: object, side: int, model: object) -> None:
    with torch.device("meta"):
        network = cut(model())  # type: ignore[operator]
        assert isinstance(network, SplitNetwork)
        body = StagedBody(network.stages, 0, 1)
        regional = WarpedCrops(body, network.pool_size, side)(
            Images(torch.empty(1, 3, 300, 400), ((300, 400),), (0,)), (), [torch.empty(2, 4)]
        )
        assert network.tail(regional).shape == (2, 4096)


def detector(kind: str) -> Detector:
    torch.manual_seed(0)
    network = registry.split_stages("small", registry.build_network("small"))
    body = StagedBody(network.stages[:-1], 0, num_outputs=1)
    head = SoftmaxHead(nn.Sequential(network.stages[-1], network.tail), 128, 3)
    crops = kind == "rcnn"
    return Detector(
        NoBackbone() if crops else body,
        PrecomputedProposals(),
        WarpedCrops(body, 4, crop_size=32, context=4, batch_size=3) if crops else PooledRegions("roi_align", 4, 8),
        head,
        Postprocess(),
        HeadTraining(ProposalSampler(Matcher(0.5, (0.0, 0.5)), 8), ProposalSelection(100, 100)),
        ProposalSelection(100, 100),
    )


def test_rcnn_has_the_parameters_of_fast_rcnn() -> None:
    shapes = [
        {name.removeprefix(index): value.shape for name, value in detector(kind).state_dict().items()}
        for kind, index in (("rcnn", "regions.body."), ("fast", "backbone."))
    ]
    assert shapes[0] == shapes[1]
    assert len(shapes[0]) > 10


def built(**model: object) -> Detector:
    """As the settings say; its tensors have no data."""
    config = parse_config({"model": model, "train": {"steps": 1}}, "test")
    with torch.device("meta"):
        return build_detector(config, ("cat", "dog"))[0]


@pytest.mark.parametrize("name", ["alexnet", "small", "resnet18"])
def test_settings_give_rcnn_and_fast_rcnn_the_same_parameters(name: str) -> None:
    """Body, tail and classifier, by their names; R-CNN's box regressors read the region map, not the vector."""
    shapes = []
    for kind, index in (("rcnn", "regions.body."), ("fast_rcnn", "backbone.")):
        named = built(kind=kind, backbone={"name": name}).state_dict()
        body = {key.removeprefix(index): value.shape for key, value in named.items() if key.startswith(index)}
        head = {key: value.shape for key, value in named.items() if key.startswith(("head.tail.", "head.logits."))}
        assert named.keys() - head.keys() - {index + key for key in body} == {"head.deltas.weight", "head.deltas.bias"}
        shapes.append((body, head))
    assert shapes[0] == shapes[1]
    assert all(shapes[0])


@pytest.mark.parametrize(
    ("model", "min_size"),
    [
        ({"backbone": {"name": "alexnet"}, "crop": {"size": 40}}, 111),
        ({"backbone": {"name": "vgg11"}, "crop": {"size": 111}}, 112),
        (
            {"backbone": {"name": "small"}, "head": {"type": "fc", "pool_size": 4}, "crop": {"size": 8, "context": 0}},
            49,
        ),
    ],
)
def test_too_small_crops_are_refused(model: dict[str, Any], min_size: int) -> None:
    actual = model["crop"]["size"]
    with pytest.raises(UserError, match=rf"model\.crop\.size: expected at least {min_size} for .* found {actual}"):
        built(kind="rcnn", **model)
    assert built(kind="rcnn", **(model | {"crop": {"size": min_size, "context": 0}}))


@pytest.mark.parametrize("counts", [(0, 0), (0, 4), (7, 4)])
def test_detector_of_warped_crops_learns_and_detects(counts: tuple[int, int]) -> None:
    proposals = tuple(
        Proposals(image_boxes, torch.arange(len(image_boxes), 0.0, -1.0)) for image_boxes in boxes(*counts)
    )
    batch = Images(images().pixels, images().sizes, (0, 1), proposals)
    flag = torch.zeros(1, dtype=torch.bool)
    target = Targets(torch.tensor([[5.0, 5, 30, 35]]), torch.tensor([2]), flag, flag)
    rcnn = detector("rcnn")
    losses = rcnn(batch, [target, target])
    sum((loss.value for loss in losses.values()), torch.zeros(())).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in rcnn.parameters())
    assert len(rcnn.eval().detect(batch)) == 2
