"""A spatial transformer is initially the identity, and samples the map by its transformation."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from detect.config.builders.detector import build_detector
from detect.config.files import merge_overrides, parse_config
from detect.models.detector import Detector
from detect.models.heads.spatial_transformer import SpatialTransformer
from detect.types import Images, Proposals, Targets
from tests.conftest import TINY


@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize("bins", [1, 3, 6])
def test_transformer_is_initially_the_identity(bins: int, count: int) -> None:
    torch.manual_seed(0)
    regional = torch.randn(count, 4, bins, bins)
    torch.testing.assert_close(SpatialTransformer(4, bins)(regional), regional, rtol=0, atol=1e-5)


def enlarged(maps: Tensor) -> Tensor:
    return functional.interpolate(maps[:, :, 1:3, 1:3], size=4, mode="bilinear")


TURNS = [
    ((-1.0, 0.0, 0.0, 0.0, 1.0, 0.0), lambda maps: maps.flip(3)),
    ((0.0, 1.0, 0.0, 1.0, 0.0, 0.0), lambda maps: maps.transpose(2, 3)),
    ((1.0, 0.0, 0.5, 0.0, 1.0, 0.0), lambda maps: functional.pad(maps[:, :, :, 1:], (0, 1))),  # one cell of four
    ((0.5, 0.0, 0.0, 0.0, 0.5, 0.0), enlarged),
]


@pytest.mark.parametrize(("affine", "expected"), TURNS, ids=["mirrored", "transposed", "moved", "enlarged"])
def test_map_is_sampled_by_the_transformation(affine: tuple[float, ...], expected: Any) -> None:
    torch.manual_seed(0)
    transformer, regional = SpatialTransformer(3, 4), torch.randn(2, 3, 4, 4)
    bias = transformer.transformation.get_parameter("bias")
    with torch.no_grad():
        bias.copy_(torch.tensor(affine))
    inner = slice(1, 3) if affine[0] == 0.5 else slice(None)  # at its border an enlarged map reads cells further out
    actual = transformer(regional)[:, :, inner, inner]
    torch.testing.assert_close(actual, expected(regional)[:, :, inner, inner], rtol=0, atol=1e-5)


def test_transformer_learns_to_undo_a_shift() -> None:
    """The gradient reaches every layer, and follows it to where the map was moved from."""
    torch.manual_seed(0)
    cells = torch.arange(7.0)
    blob = torch.exp(-((cells[:, None] - 3) ** 2 + (cells - 3) ** 2) / 4).expand(4, 2, 7, 7)
    moved = torch.exp(-((cells[:, None] - 3) ** 2 + (cells - 4.5) ** 2) / 4).expand(4, 2, 7, 7)
    transformer = SpatialTransformer(2, 7)
    optimizer = torch.optim.Adam(transformer.parameters(), 0.01)
    losses = []
    for _ in range(40):
        loss = (transformer(moved) - blob).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.1 * losses[0]
    assert all(value.grad is not None and bool(value.grad.any()) for value in transformer.parameters())


KINDS = {
    "rcnn": ("model.kind=rcnn", "model.proposals=selective_search", "model.crop.size=32", "model.crop.context=2"),
    "fast_rcnn": ("model.kind=fast_rcnn", "model.proposals=selective_search"),
    "faster_rcnn": ("model.kind=faster_rcnn",),
}


def detector(kind: str, *overrides: str) -> Detector:
    settings = merge_overrides(copy.deepcopy(dict[str, Any](TINY)), [*KINDS[kind], *overrides])
    return build_detector(parse_config(settings, "test"), ("a", "b"))[0]


@pytest.mark.parametrize("kind", KINDS)
def test_each_detector_is_initially_unchanged_and_trains(kind: str) -> None:
    torch.manual_seed(0)
    boxes = torch.tensor([[8.0, 8.0, 40.0, 40.0], [30.0, 20.0, 78.0, 60.0]])
    region_maps = None if kind == "faster_rcnn" else (Proposals(boxes + 1, torch.ones(2)),)
    images = Images(torch.randn(1, 3, 96, 96), ((80, 90),), (0,), region_maps)
    plain = detector(kind).eval()
    transformed = detector(kind, "model.head.transform=spatial_transformer").eval()
    state = {name.replace("head.tail.", "head.tail.1."): value for name, value in plain.state_dict().items()}
    missing, unexpected = transformed.load_state_dict(state, strict=False)
    assert not unexpected
    assert {name.split(".")[2] for name in missing} == {"0"}
    (before,), (after,) = plain.detect(images), transformed.detect(images)
    assert len(before.boxes) > 0
    torch.testing.assert_close(after.boxes, before.boxes, rtol=0, atol=1e-3)
    torch.testing.assert_close(after.scores, before.scores, rtol=0, atol=1e-4)
    none = torch.zeros(2, dtype=torch.bool)
    losses = transformed.train()(images, [Targets(boxes, torch.tensor([1, 2]), none, none)])
    torch.stack([loss.value for loss in losses.values()]).sum().backward()
    transformation = transformed.get_submodule("head.tail.0.transformation")
    assert all(value.grad is not None and bool(value.grad.any()) for value in transformation.parameters())
