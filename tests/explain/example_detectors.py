"""Detectors with a known objective: red inside the region raises the score, red on its left side moves an edge."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from detect.explain.attribution.target import AttributionTarget, Quantity, attribution_targets, target_detections
from detect.explain.trace.trace import trace
from detect.models.backbones.network import NoBackbone, StagedBody
from detect.models.detector import Detector, HeadTraining
from detect.models.postprocess import Postprocess
from detect.models.proposers.precomputed import PrecomputedProposals
from detect.models.proposers.proposer import ProposalSelection
from detect.models.regions.pooled import PooledRegions
from detect.models.regions.warped_crops import WarpedCrops
from detect.models.slots import Head
from detect.ops.matching import Matcher, ProposalSampler
from detect.types import Images, Proposals

SIDE, STRIDE = 64, 4
OBJECT = (20, 10, 36, 26)  # x1 y1 x2 y2 of a red square
OTHER = (44, 40, 60, 56)  # another one of the same class, outside the proposal
PROPOSAL = (16.0, 6.0, 40.0, 30.0)


def make_body() -> StagedBody:
    """Return a body with two stages: the redness of each pixel, and its mean over 4 x 4 pixels."""
    red = nn.Conv2d(3, 1, 1)
    with torch.no_grad():
        red.weight.copy_(torch.tensor([1.0, -0.5, -0.5]).view(1, 3, 1, 1))
        red.bias.zero_()  # type: ignore[union-attr]
    return StagedBody([nn.Sequential(red, nn.ReLU(inplace=True)), nn.AvgPool2d(STRIDE)], 0, 1)


class RedHead(nn.Module):
    """A head whose class logit is 8 times the mean redness minus 2; redness on the left moves the box."""

    @property
    def stages(self) -> tuple[RedHead]:
        return (self,)

    def forward(self, region_maps: Tensor) -> tuple[Tensor, Tensor]:
        mean = region_maps.mean((1, 2, 3))
        left = region_maps[..., : region_maps.shape[3] // 2].mean((1, 2, 3))
        logits = torch.stack([torch.zeros_like(mean), 8 * mean - 2], 1)
        deltas = torch.stack([left, 0 * left, 0 * left, 0 * left], 1)[:, None]
        return logits, deltas


def make_detector(kind: str) -> Detector:
    """Return a detector of the kind fast_rcnn or rcnn."""
    selection = ProposalSelection(10, 10)
    training = HeadTraining(ProposalSampler(Matcher(0.5, (0.0, 0.5)), 4, 0.5), selection)
    postprocess = Postprocess(score_threshold=0.5, classes=("red",))
    if kind == "rcnn":
        crops = WarpedCrops(make_body(), pool_size=8, crop_size=32, context=4)
        return Detector(
            NoBackbone(), PrecomputedProposals(), crops, cast(Head, RedHead()), postprocess, training, selection
        ).eval()
    regions = PooledRegions("roi_align", 4, STRIDE)
    return Detector(
        make_body(), PrecomputedProposals(), regions, cast(Head, RedHead()), postprocess, training, selection
    ).eval()


def make_images() -> Images:
    """Return gray noise with two red squares."""
    pixels = 0.1 * torch.randn(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)).repeat(1, 3, 1, 1)
    for x1, y1, x2, y2 in (OBJECT, OTHER):
        pixels[0, :, y1:y2, x1:x2] = torch.tensor([1.0, 0, 0]).view(3, 1, 1)
    proposals = Proposals(torch.tensor([PROPOSAL]), torch.ones(1))
    return Images(pixels, ((SIDE, SIDE),), (0,), (proposals,))


def make_target(kind: str, quantity: Quantity = "score") -> AttributionTarget:
    """Return the target of the single detection of ``make_detector``."""
    detector, images = make_detector(kind), make_images()
    (traced,) = trace(detector, images)
    (target,) = attribution_targets(detector, images, target_detections(traced), quantity)
    return target
