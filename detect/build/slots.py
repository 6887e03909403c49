"""Settings of one slot -> the part that fills it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from detect.anchors import AnchorShapes
from detect.backbones.necks import Backbone, Merge
from detect.backbones.network import Body, Network, map_shapes, vector_length
from detect.backbones.norm import freeze_norms
from detect.config import ModelConfig
from detect.detector import RegionTraining
from detect.errors import UserError
from detect.heads.fitted import FittedHead
from detect.heads.softmax import SoftmaxHead, TwoLinear
from detect.heads.thin import fresh, linear_layers, make_thin
from detect.matching import Matcher, RegionSampler
from detect.postprocess import Postprocess, logistic, softmax
from detect.proposals.proposer import Selection
from detect.proposals.rpn import Rpn, RpnHead, RpnTraining
from detect.regions.crops import WarpedCrops
from detect.regions.pooled import PooledRegions


@dataclass(frozen=True)
class Trunk:
    """Body and neck, and what the slots above them must know."""

    backbone: nn.Module
    channels: int
    stride: int
    network: Network


def make_trunk(model: ModelConfig, network: Network) -> Trunk:
    """Body and neck: all stages where two maps are merged or the tail is new, else those below the tail."""
    settings = model.backbone
    if settings.output == "merged" and model.head.tail == "network":
        raise UserError("model.head.tail: expected linear with model.backbone.output merged, found network")
    own_tail = model.head.tail == "network"
    stages = network.stages[: len(network.stages) - network.tail_stages] if own_tail else network.stages
    if settings.frozen_stages > len(stages):
        raise UserError(
            f"model.backbone.frozen_stages: expected at most {len(stages)} for {settings.name}, "
            f"found {settings.frozen_stages}"
        )
    if settings.norm == "frozen":
        for part in (*network.stages, network.tail):
            freeze_norms(part)
    merged = settings.output == "merged"
    body = Body(stages, settings.frozen_stages, outputs=2 if merged else 1)
    shapes = map_shapes(body)
    if not merged:
        return Trunk(body, shapes[0].channels, shapes[0].stride, network)
    if shapes[0].stride == shapes[1].stride:
        raise UserError(f"model.backbone.output: merged needs two strides, {settings.name} ends with one")
    neck = Merge([shape.channels for shape in shapes], settings.width)
    return Trunk(Backbone(body, neck), settings.width, shapes[0].stride, network)


def make_rpn(model: ModelConfig, trunk: Trunk) -> Rpn:
    """Proposals learned on the shared map."""
    settings = model.rpn
    shapes = AnchorShapes((settings.sides,), settings.ratios)
    training = RpnTraining(
        Matcher(settings.foreground, settings.background, keep_best=True),
        settings.number,
        settings.share,
        settings.outside,
        settings.beta,
        settings.box_weight,
    )
    head = RpnHead(trunk.channels, settings.width, shapes.per_cell(0))
    return Rpn(head, shapes, (trunk.stride,), training)


def given_selection(number: int) -> Selection:
    """The first ``number`` of the proposals that came with a photo."""
    return Selection(number, number)


def pooled_regions(model: ModelConfig, trunk: Trunk) -> PooledRegions:
    """Regions from the shared map."""
    return PooledRegions(model.pool, region_bins(model, trunk), trunk.stride)


def warped_crops(model: ModelConfig, trunk: Trunk) -> WarpedCrops:
    """Regions from the pixels."""
    crop = model.crop
    return WarpedCrops(trunk.backbone, region_bins(model, trunk), crop.side, crop.context, crop.chunk)


def region_matcher(model: ModelConfig) -> Matcher:
    """Which proposals are foreground and which background for the head."""
    return Matcher(model.head.foreground, model.head.background)


def region_training(model: ModelConfig, selection: Selection) -> RegionTraining:
    """How the head learns. With uniform sampling the batch's plan has chosen already: all that came is taken."""
    head = model.head
    matcher = region_matcher(model)
    if head.sampling == "uniform":
        sampler = RegionSampler(matcher, head.number, share=1.0, add_targets=False)
    else:
        sampler = RegionSampler(matcher, head.number, head.share, head.add_targets)
    return RegionTraining(sampler, selection, head.beta, head.box_weight)


def make_postprocess(model: ModelConfig, classes: tuple[str, ...]) -> Postprocess:
    """From scores to detections."""
    rule = model.postprocess
    scoring = logistic if model.classifier == "svm" else softmax
    return Postprocess(model.head.stds, rule.score, rule.nms, rule.limit, classes, scoring, rule.regress)


def softmax_head(model: ModelConfig, trunk: Trunk, classes: int) -> SoftmaxHead:
    """Tail, classifier and box deltas, all trained."""
    return SoftmaxHead(*make_tail(model, trunk), classes)


def fitted_head(model: ModelConfig, trunk: Trunk, classes: int) -> FittedHead:
    """Tail and classifier, and box regressors of the region map where the tail has fully connected layers."""
    tail, features = make_tail(model, trunk)
    if linear_layers(tail):
        return FittedHead(tail, features, trunk.channels * region_bins(model, trunk) ** 2, classes, "map")
    return FittedHead(tail, features, features, classes, "vector")


def make_tail(model: ModelConfig, trunk: Trunk) -> tuple[nn.Module, int]:
    """Region map -> vector, and the length of that."""
    bins = region_bins(model, trunk)
    if model.head.tail == "linear":
        tail: nn.Module = TwoLinear(trunk.channels, bins, model.head.width)
        features = model.head.width
    else:
        tail, features = _own_tail(model, trunk, bins)
    if model.head.ranks is not None:
        try:
            make_thin(tail, model.head.ranks, fresh)
        except ValueError as error:
            raise UserError(f"model.head.ranks: {error}") from None
    return tail, features


def _own_tail(model: ModelConfig, trunk: Trunk, bins: int) -> tuple[nn.Module, int]:
    """The network's own layers above the cut, and the length of their vector."""
    network = trunk.network
    tail = nn.Sequential(*network.stages[len(network.stages) - network.tail_stages :], network.tail)
    try:
        return tail, vector_length(tail, trunk.channels, bins)
    except RuntimeError:  # a linear layer of the network's own reads a map of one size
        if bins == network.bins:
            raise
        raise UserError(
            f"model.head.bins: expected {network.bins} or null for the tail of {model.backbone.name}, found {bins} "
            "(with model.head.tail linear any number fits)"
        ) from None


def region_bins(model: ModelConfig, trunk: Trunk) -> int:
    """What the settings say, else what the tail was made for; 7 for a new one."""
    if model.head.bins is not None:
        return model.head.bins
    return trunk.network.bins if model.head.tail == "network" else 7
