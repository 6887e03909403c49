"""From settings to parts. The only file that knows both."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from detect.anchors import AnchorShapes
from detect.backbones import registry
from detect.backbones.necks import Backbone, Merge
from detect.backbones.network import Body, Network, map_shapes, vector_length
from detect.backbones.norm import freeze_norms
from detect.config import Config, ModelConfig
from detect.detector import Detector, RegionTraining
from detect.errors import UserError
from detect.heads.softmax import SoftmaxHead, TwoLinear
from detect.heads.thin import fresh, make_thin
from detect.matching import Matcher, RegionSampler
from detect.postprocess import Postprocess
from detect.preprocess import Preprocess
from detect.proposals.given import GivenProposals
from detect.proposals.proposer import Selection
from detect.proposals.rpn import Rpn, RpnHead, RpnTraining
from detect.regions.pooled import PooledRegions
from detect.test_time import Look, ManyLooks
from detect.weights.initial import WeightsReport, load_initial


@dataclass(frozen=True)
class Trunk:
    """The shared part of a detector, and what the other slots must know of it."""

    backbone: nn.Module
    channels: int
    stride: int
    network: Network


def fast_rcnn(model: ModelConfig, trunk: Trunk, classes: tuple[str, ...]) -> Detector:
    """Fast R-CNN: proposals given with the photos, regions pooled from the shared map."""
    search = model.search
    return Detector(
        backbone=trunk.backbone,
        proposer=GivenProposals(),
        regions=PooledRegions(model.pool, _bins(model, trunk), trunk.stride),
        head=_head(model, trunk, len(classes)),
        postprocess=_postprocess(model, classes),
        training=_region_training(model, Selection(search.train_number, search.train_number)),
        selection=Selection(search.test_number, search.test_number),
    )


def faster_rcnn(model: ModelConfig, trunk: Trunk, classes: tuple[str, ...]) -> Detector:
    """Faster R-CNN: proposals learned on the shared map, regions pooled from it."""
    rpn = model.rpn
    return Detector(
        backbone=trunk.backbone,
        proposer=_rpn(model, trunk),
        regions=PooledRegions(model.pool, _bins(model, trunk), trunk.stride),
        head=_head(model, trunk, len(classes)),
        postprocess=_postprocess(model, classes),
        training=_region_training(model, Selection(rpn.train_before, rpn.train_after, rpn.nms, rpn.min_side)),
        selection=Selection(rpn.test_before, rpn.test_after, rpn.nms, rpn.min_side),
    )


def build_detector(config: Config, classes: tuple[str, ...]) -> tuple[Detector, WeightsReport | None]:
    """A detector with initial weights, and what the weights file gave it. The same seed gives the same weights."""
    registry.check_name(config.model.backbone.name)
    torch.manual_seed(config.seed)
    whole = registry.whole_network(config.model.backbone.name)
    weights = config.model.backbone.weights
    report = None if weights is None else load_initial(whole, config.model.backbone.name, weights)
    network = registry.cut(config.model.backbone.name, whole)
    compose = fast_rcnn if config.model.given else faster_rcnn
    detector = compose(config.model, _trunk(config.model, network), classes)
    return detector.to(memory_format=torch.channels_last), report


def empty_detector(config: Config, classes: tuple[str, ...]) -> Detector:
    """A detector whose weights are about to be loaded from a checkpoint; needs no file."""
    backbone = config.model.backbone.model_copy(update={"weights": None})
    return build_detector(
        config.model_copy(update={"model": config.model.model_copy(update={"backbone": backbone})}), classes
    )[0]


def with_looks(config: Config, detector: Detector) -> Detector | ManyLooks:
    """The detector itself, or inside test-time augmentation where the settings ask for it."""
    settings = config.model.test_time
    looks = [
        Look(scale, mirror) for scale in settings.scales for mirror in ((False, True) if settings.flip else (False,))
    ]
    return detector if looks == [Look()] else ManyLooks(detector, looks, settings.merge)


def preprocess_rule(config: Config) -> Preprocess:
    """The rule for a model's input; of several training sizes the last one detects."""
    return Preprocess(config.data.min_sizes[-1], config.data.max_size, divisor=config.data.divisor)


def _trunk(model: ModelConfig, network: Network) -> Trunk:
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


def _rpn(model: ModelConfig, trunk: Trunk) -> Rpn:
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


def _region_training(model: ModelConfig, selection: Selection) -> RegionTraining:
    head = model.head
    sampler = RegionSampler(Matcher(head.foreground, head.background), head.number, head.share, head.add_targets)
    return RegionTraining(sampler, selection, head.beta, head.box_weight)


def _postprocess(model: ModelConfig, classes: tuple[str, ...]) -> Postprocess:
    rule = model.postprocess
    return Postprocess(model.head.stds, rule.score, rule.nms, rule.limit, classes)


def _head(model: ModelConfig, trunk: Trunk, classes: int) -> SoftmaxHead:
    bins = _bins(model, trunk)
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
    return SoftmaxHead(tail, features, classes)


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


def _bins(model: ModelConfig, trunk: Trunk) -> int:
    """What the settings say, else what the tail was made for; 7 for a new one."""
    if model.head.bins is not None:
        return model.head.bins
    return trunk.network.bins if model.head.tail == "network" else 7
