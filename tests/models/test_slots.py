"""The questions that tools ask the parts of a detector, and that no tool asks for a class instead."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import detect
from detect.models.backbones.necks import Backbone, MergeLastTwo
from detect.models.backbones.network import NoBackbone, StagedBody
from detect.models.proposers.precomputed import PrecomputedProposals
from detect.models.proposers.proposer import AnchorLayout, AnchorPosition, ProposalSelection
from detect.models.regions.pooled import PooledRegions
from detect.models.regions.pyramid import PyramidRegions
from detect.models.regions.warped_crops import WarpedCrops
from detect.models.slots import Regions
from detect.ops.anchors import AnchorGenerator
from detect.types import Images

PACKAGE = Path(detect.__file__).parent
PARTS = {
    *("RPN", "PrecomputedProposals", "PooledRegions", "PyramidRegions", "WarpedCrops"),
    *("SoftmaxHead", "RCNNHead", "MaskHead"),
}
BUILDERS = ("models", "config/builders")


def body() -> StagedBody:
    return StagedBody([nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 5, 3, 2, 1)], 0, 2)


def images() -> Images:
    return Images(torch.zeros(1, 3, 64, 64), ((64, 64),), (0,))


@pytest.mark.parametrize(
    ("regions", "method", "box", "map_index", "stride", "size"),
    [
        (PooledRegions("roi_pool", 7, 16), "roi_pool", [1, 2, 3, 4], 0, 16, (7, 7)),
        (PyramidRegions("roi_align", 5, [4, 8, 16]), "roi_align", [4, 8, 12, 16], 0, 4, (5, 5)),
        (WarpedCrops(body(), 3, 32, context=8), "warped crop", [0, 16, 64, 80], None, 1, (32, 32)),
    ],
)
def test_window_of_a_box_is_in_cells_or_pixels(
    regions: Regions, method: str, box: list[float], map_index: int | None, stride: int, size: tuple[int, int]
) -> None:
    window = regions.window(torch.tensor([16.0, 32.0, 48.0, 64.0]))
    assert (window.method, window.box.tolist(), window.map_index) == (method, box, map_index)
    assert (window.stride, window.size) == (stride, size)


def test_feature_network_of_shared_maps_is_the_backbone() -> None:
    bare, merged = body(), Backbone(body(), MergeLastTwo([4, 5], 4))
    for backbone, inner, pools_last_stage in ((bare, bare, True), (merged, merged.body, False)):
        network = PooledRegions("roi_align", 7, 16).feature_network(backbone)
        assert (network.slot, network.module, network.body) == ("backbone", backbone, inner)
        assert (network.input_size, network.pools_last_stage) == (None, pools_last_stage)


def test_feature_network_of_crops_is_their_body() -> None:
    crops = WarpedCrops(body(), 3, 32, context=8)
    network = crops.feature_network(NoBackbone())
    assert (network.slot, network.module, network.body) == ("regions", crops, crops.body)
    assert (network.input_size, network.pools_last_stage) == ((32, 32), False)
    assert network.run(torch.zeros(2, 3, 32, 32)).shape == (2, 5, 3, 3)


def test_feature_network_of_crops_with_a_neck_has_the_body_below_it() -> None:
    merged = Backbone(body(), MergeLastTwo([4, 5], 4))
    network = WarpedCrops(merged, 3, 32, context=8).feature_network(NoBackbone())
    assert network.body is merged.body


def test_crops_exist_only_where_each_region_has_its_own_pixels() -> None:
    boxes = [torch.tensor([[0.0, 0.0, 8.0, 8.0], [8.0, 8.0, 60.0, 60.0]])]
    assert PooledRegions("roi_align", 7, 16).crops(images(), boxes) is None
    crops = WarpedCrops(body(), 3, 32, context=8).crops(images(), boxes)
    assert crops.shape == (2, 3, 32, 32)


def test_run_layers_of_regions_returns_the_channels_of_a_region_map() -> None:
    maps: list[Tensor] = [torch.zeros(1, 6, 4, 4)]
    assert PooledRegions("roi_align", 7, 16).run_layers(maps, 2) == 6
    assert WarpedCrops(body(), 3, 32, context=8).run_layers((), 2) == 5


def test_precomputed_proposals_have_no_anchors_layers_or_losses() -> None:
    proposer = PrecomputedProposals()
    assert proposer.candidates(None, ((8, 8), (8, 9)), ProposalSelection(1, 1)) == (None, None)
    assert proposer.anchor_layout(None) is None
    assert proposer.output_layers() == {}
    assert list(proposer.parameters()) == []


@pytest.mark.parametrize(
    ("anchor", "level", "expected"),
    [
        (0, 0, AnchorPosition(level=0, row=0, column=0, size=8, aspect_ratio=0.5)),
        (7, 0, AnchorPosition(level=0, row=1, column=1, size=8, aspect_ratio=1.0)),
        (8, 1, AnchorPosition(level=1, row=0, column=0, size=16, aspect_ratio=0.5)),
    ],
)
def test_locate_returns_the_place_of_an_anchor(anchor: int, level: int, expected: AnchorPosition) -> None:
    layout = AnchorLayout(((2, 2), (1, 1)), (8, 2), AnchorGenerator(((8,), (16,)), (0.5, 1.0)))
    assert layout.locate(anchor, level) == expected


@pytest.mark.slow
def test_no_tool_imports_the_class_of_a_part() -> None:
    offenders = []
    for file in sorted(PACKAGE.rglob("*.py")):
        if file.relative_to(PACKAGE).as_posix().startswith(BUILDERS):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                offenders += [f"{file.name}: {alias.name}" for alias in node.names if alias.name in PARTS]
    assert offenders == []
