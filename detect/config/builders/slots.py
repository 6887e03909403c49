"""Settings of one slot -> the part that fills it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from torch import nn

from detect.config import ModelConfig
from detect.config.builders.backbone import Trunk
from detect.errors import UserError
from detect.models.backbones.network import map_side, vector_length
from detect.models.detector import RegionTraining
from detect.models.heads.low_rank import fresh, linear_layers, make_thin
from detect.models.heads.rcnn import FittedHead
from detect.models.heads.softmax import SoftmaxHead
from detect.models.heads.spatial_transformer import SpatialTransformer
from detect.models.heads.tails import Convolved, TwoLinear
from detect.models.postprocess import Postprocess, logistic, softmax
from detect.models.proposers.proposer import Selection
from detect.models.proposers.rpn import Rpn, RpnTraining
from detect.models.proposers.rpn_head import RpnHead
from detect.models.regions.pooled import PooledRegions
from detect.models.regions.pyramid import PyramidRegions
from detect.models.regions.warped_crops import WarpedCrops
from detect.ops.anchors import AnchorShapes
from detect.ops.matching import Matcher, RegionSampler


def make_rpn(model: ModelConfig, trunk: Trunk) -> Rpn:
    """Proposals learned on the shared maps."""
    settings = model.rpn
    shapes = anchor_shapes(model, len(trunk.strides))
    training = RpnTraining(
        Matcher(settings.foreground, settings.background, keep_best=True),
        settings.number,
        settings.share,
        settings.outside,
        settings.beta,
        settings.box_weight,
        settings.average,
    )
    head = RpnHead(trunk.channels, settings.width, shapes.per_cell(0), settings.convolutions, settings.convolution)
    return Rpn(head, shapes, trunk.strides, training, settings.spacing, settings.growth)


def anchor_shapes(model: ModelConfig, maps: int) -> AnchorShapes:
    """The anchors of a network with so many maps. Raises UserError where the sides are those of another number."""
    settings = model.rpn
    return AnchorShapes(_sides_by_map(settings.sides, maps), settings.ratios, settings.offset, settings.rounded)


def _sides_by_map(sides: Sequence[float | Sequence[float]], maps: int) -> tuple[tuple[float, ...], ...]:
    """The anchors' sides for each map: all for a single one, else one or one list for each."""
    plain = [side for side in sides if isinstance(side, int | float)]
    if maps == 1 and plain:
        return (tuple(plain),)
    by_map = tuple((side,) if isinstance(side, int | float) else tuple(side) for side in sides)
    if len(by_map) != maps or len({len(each) for each in by_map}) > 1:
        raise UserError(f"model.rpn.sides: expected as many for each of {maps} maps, found {list(map(list, by_map))}")
    return by_map


def rpn_selection(model: ModelConfig, training: bool) -> Selection:
    """How many proposals go on, when training or when detecting."""
    rpn = model.rpn
    before, after = (rpn.train_before, rpn.train_after) if training else (rpn.test_before, rpn.test_after)
    return Selection(before, after, rpn.nms, rpn.min_side, rpn.score)


def given_selection(number: int) -> Selection:
    """The first ``number`` of the proposals that came with an image."""
    return Selection(number, number)


def pooled_regions(model: ModelConfig, trunk: Trunk) -> PooledRegions | PyramidRegions:
    """Regions from the shared maps."""
    bins, rule = region_bins(model, trunk), model.regions
    if model.backbone.output == "pyramid":
        return PyramidRegions(model.pool, bins, trunk.region_strides, rule.samples, rule.aligned)
    return PooledRegions(model.pool, bins, trunk.region_strides[0], rule.samples, rule.aligned)


def warped_crops(model: ModelConfig, trunk: Trunk) -> WarpedCrops:
    """Regions from the pixels. UserError for crops too small for the region map that the head reads."""
    crop, bins = model.crop, region_bins(model, trunk)
    if map_side(trunk.backbone, crop.side) < bins:
        most = bins * trunk.strides[0] * 2 + 256  # more than any network's borders take
        least = bisect_left(range(most), bins, key=lambda side: map_side(trunk.backbone, side))
        raise UserError(
            f"model.crop.side: expected at least {least} for {bins} x {bins} cells of {model.backbone.name}, "
            f"found {crop.side}"
        )
    return WarpedCrops(trunk.backbone, bins, crop.side, crop.context, crop.chunk)


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
    return Postprocess(
        stds=model.head.stds,
        score=rule.score,
        nms=rule.nms,
        limit=rule.limit,
        classes=classes,
        scoring=scoring,
        regress=rule.regress,
        growth=rule.growth,
        min_side=rule.min_side,
    )


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
    """Region map -> vector, through a transformation where the settings ask for one, and the length of that."""
    bins, head = region_bins(model, trunk), model.head
    if head.tail == "linear":
        tail: nn.Module = TwoLinear(trunk.channels, bins, head.width)
        features = head.width
    elif head.tail == "convolved":
        tail = Convolved(trunk.channels, bins, head.convolutions, head.width, head.norm)
        features = head.width
    else:
        tail, features = _own_tail(model, trunk, bins)
    if model.head.ranks is not None:
        try:
            make_thin(tail, model.head.ranks, fresh)
        except ValueError as error:
            raise UserError(f"model.head.ranks: {error}") from None
    if head.transform == "spatial_transformer":
        tail = nn.Sequential(SpatialTransformer(trunk.channels, bins), tail)
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
