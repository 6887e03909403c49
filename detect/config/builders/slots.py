"""Build the part that fills a slot of the detector from the settings of that slot."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

from torch import nn

from detect.config import ModelConfig
from detect.config.builders.backbone import BuiltBackbone
from detect.errors import UserError
from detect.models.backbones.network import output_size, tail_dim
from detect.models.detector import HeadTraining
from detect.models.heads.cascade import CascadeHead, Refinement
from detect.models.heads.low_rank import empty_like, linear_layers, replace_linears
from detect.models.heads.rcnn import RCNNHead
from detect.models.heads.softmax import SoftmaxHead
from detect.models.heads.spatial_transformer import SpatialTransformer
from detect.models.heads.tails import ConvFC, TwoLayerFC, split_tail
from detect.models.postprocess import Postprocess, logistic, softmax
from detect.models.proposers.precomputed import PrecomputedProposals
from detect.models.proposers.proposer import ProposalSelection
from detect.models.proposers.rpn import RPN, RPNTraining
from detect.models.proposers.rpn_head import RPNHead
from detect.models.regions.pooled import PooledRegions
from detect.models.regions.pyramid import PyramidRegions
from detect.models.regions.warped_crops import WarpedCrops
from detect.ops.anchors import AnchorGenerator
from detect.ops.matching import Matcher, ProposalSampler


def build_rpn(model: ModelConfig, backbone: BuiltBackbone) -> RPN:
    """Return the proposer of Faster R-CNN, which predicts proposals from the shared maps."""
    config = model.rpn
    anchors = build_anchor_generator(model, len(backbone.strides))
    training = RPNTraining(
        Matcher(config.positive_iou, config.negative_iou, allow_low_quality_matches=True),
        config.batch_size_per_image,
        config.positive_fraction,
        config.allowed_border,
        config.smooth_l1_beta,
        config.box_weight,
        config.loss_average,
    )
    num_anchors = anchors.num_anchors_per_location(0)
    head = RPNHead(backbone.channels, config.channels, num_anchors, config.num_convs, config.conv_type)
    return RPN(
        head,
        anchors,
        backbone.strides,
        training,
        config.anchor_stride,
        config.max_scale_change,
        delta_stds=config.delta_stds,
        apply_deltas=config.box_regression,
        random_rank=config.rank == "random",
    )


def build_anchor_generator(model: ModelConfig, num_maps: int) -> AnchorGenerator:
    """Return the anchors of ``num_maps`` maps. Raises UserError if the sizes are those of another number of maps."""
    config = model.rpn
    sizes = _sizes_per_map(config.anchor_sizes, num_maps)
    return AnchorGenerator(sizes, config.aspect_ratios, config.anchor_offset, config.round_anchors)


def _sizes_per_map(sizes: Sequence[float | Sequence[float]], num_maps: int) -> tuple[tuple[float, ...], ...]:
    """Return the anchor sizes of each map: all sizes for a single map, else one size or one list for each."""
    numbers = [size for size in sizes if isinstance(size, int | float)]
    if num_maps == 1 and numbers:
        return (tuple(numbers),)
    per_map = tuple((size,) if isinstance(size, int | float) else tuple(size) for size in sizes)
    if len(per_map) != num_maps or len({len(map_sizes) for map_sizes in per_map}) > 1:
        raise UserError(
            f"model.rpn.anchor_sizes: expected as many for each of {num_maps} maps, found {list(map(list, per_map))}"
        )
    return per_map


def rpn_selection(model: ModelConfig, training: bool) -> ProposalSelection:
    """Return which proposals of an RPN are kept, in training or when detecting."""
    config = model.rpn
    pre_nms_top_n = config.pre_nms_top_n_train if training else config.pre_nms_top_n_test
    post_nms_top_n = config.post_nms_top_n_train if training else config.post_nms_top_n_test
    nms_iou = 1.0 if config.rank == "random" else config.nms_iou  # boxes without scores do not suppress each other
    return ProposalSelection(pre_nms_top_n, post_nms_top_n, nms_iou, config.min_size, config.score_threshold)


def precomputed_selection(top_n: int) -> ProposalSelection:
    """Return the selection of the first ``top_n`` of the proposals that come with an image."""
    return ProposalSelection(top_n, top_n)


def build_proposer(model: ModelConfig, backbone: BuiltBackbone) -> RPN | PrecomputedProposals:
    """Return the proposer of the settings: an RPN, or one that takes the proposals that come with an image."""
    return PrecomputedProposals() if model.uses_precomputed_proposals else build_rpn(model, backbone)


def proposal_selection(model: ModelConfig, training: bool) -> ProposalSelection:
    """Return which proposals of the proposer of the settings are kept, in training or when detecting."""
    if model.uses_precomputed_proposals:
        return precomputed_selection(model.search.train_top_n if training else model.search.test_top_n)
    return rpn_selection(model, training)


def build_roi_regions(model: ModelConfig, backbone: BuiltBackbone) -> PooledRegions | PyramidRegions:
    """Return the part that pools regions from the shared maps."""
    pool_size, config = region_pool_size(model, backbone), model.regions
    sampling = (config.sampling_ratio, config.aligned)
    if model.backbone.output == "fpn":
        return PyramidRegions(model.pool, pool_size, backbone.region_strides, *sampling)
    return PooledRegions(model.pool, pool_size, backbone.region_strides[0], *sampling)


def build_crop_regions(model: ModelConfig, backbone: BuiltBackbone) -> WarpedCrops:
    """Return the part that warps regions from the pixels and runs the body on them.

    Raises UserError for crops that are too small for the region map of the head.
    """
    crop, pool_size = model.crop, region_pool_size(model, backbone)
    if output_size(backbone.module, crop.size) < pool_size:
        limit = pool_size * backbone.strides[0] * 2 + 256  # more than the borders of any network take
        min_size = bisect_left(range(limit), pool_size, key=lambda size: output_size(backbone.module, size))
        raise UserError(
            f"model.crop.size: expected at least {min_size} for {pool_size} x {pool_size} cells of "
            f"{model.backbone.name}, found {crop.size}"
        )
    return WarpedCrops(backbone.module, pool_size, crop.size, crop.context, crop.batch_size)


def build_proposal_matcher(model: ModelConfig) -> Matcher:
    """Return the matcher that tells which proposals are positives and which are negatives for the head."""
    return Matcher(model.head.positive_iou, model.head.negative_iou)


def build_head_training(model: ModelConfig, selection: ProposalSelection) -> HeadTraining:
    """Return how the head is trained: its sampler, the proposals it samples from, and its loss.

    With global sampling the batch sampler has chosen the regions already, so all proposals of the batch are taken.
    """
    config = model.head
    matcher = build_proposal_matcher(model)
    if config.sampling == "global":
        sampler = ProposalSampler(matcher, config.batch_size_per_image, positive_fraction=1.0, add_gt_proposals=False)
    else:
        sampler = ProposalSampler(
            matcher, config.batch_size_per_image, config.positive_fraction, config.add_gt_proposals
        )
    return HeadTraining(sampler, selection, config.smooth_l1_beta, config.box_weight)


def build_postprocess(model: ModelConfig, classes: tuple[str, ...]) -> Postprocess:
    """Return the step that turns logits and deltas into detections."""
    config = model.postprocess
    return Postprocess(
        delta_stds=model.stage_delta_stds[-1],
        score_threshold=config.score_threshold,
        nms_iou=config.nms_iou,
        max_detections=config.max_detections,
        classes=classes,
        score_fn=logistic if model.classifier == "svm" else softmax,
        apply_deltas=config.box_regression,
        max_scale=config.max_scale_change,
        min_size=config.min_size,
        pre_nms_top_n_per_class=config.pre_nms_top_n_per_class,
    )


def build_softmax_head(model: ModelConfig, backbone: BuiltBackbone, num_classes: int) -> SoftmaxHead:
    """Return the head of Fast and Faster R-CNN, or a stage of a cascade: tail, classifier and box deltas, all trained."""
    tail, features = build_tail(model, backbone)
    svm_features = model.head.svm_features
    svm_in_features = None if svm_features is None else _svm_in_features(model, backbone, tail, svm_features)
    return SoftmaxHead(tail, features, num_classes, svm_features, svm_in_features, model.head.class_agnostic)


def build_cascade_head(model: ModelConfig, backbone: BuiltBackbone, num_classes: int) -> CascadeHead:
    """Return the head of Cascade R-CNN: a softmax head for each stage.

    Where the tail is the network's own, each stage has a copy, with the same initial weights.
    """
    copies = [backbone, *(replace(backbone, network=deepcopy(backbone.network)) for _ in build_refinements(model))]
    return CascadeHead(build_softmax_head(model, copied, num_classes) for copied in copies)


def build_refinements(model: ModelConfig) -> tuple[Refinement, ...]:
    """Return the steps from each stage of a cascade to the next."""
    later_ious, earlier_stds = (model.cascade.ious or ())[1:], model.stage_delta_stds[:-1]
    return tuple(
        Refinement(delta_stds=stds, matcher=Matcher(iou, (0.0, iou)), max_scale=model.postprocess.max_scale_change)
        for iou, stds in zip(later_ious, earlier_stds, strict=True)
    )


def build_rcnn_head(model: ModelConfig, backbone: BuiltBackbone, num_classes: int) -> RCNNHead:
    """Return the head of R-CNN: tail, classifier and box regressors.

    The regressors read the region map if the tail has fully connected layers, else the vector that the tail returns.
    """
    tail, features = build_tail(model, backbone)
    svm_features = model.head.svm_features
    if svm_features is not None:
        features = _svm_in_features(model, backbone, tail, svm_features)
    if linear_layers(tail):
        map_length = backbone.channels * region_pool_size(model, backbone) ** 2
        return RCNNHead(tail, features, map_length, num_classes, "map", svm_features)
    return RCNNHead(tail, features, features, num_classes, "vector")


def _svm_in_features(model: ModelConfig, backbone: BuiltBackbone, tail: nn.Module, svm_features: str) -> int:
    """Return the length of these features of the tail. Raises UserError if the tail does not have them."""
    try:
        below, _ = split_tail(tail, svm_features)
    except ValueError as error:
        raise UserError(f"model.head.svm_features: {error}") from None
    return tail_dim(nn.Sequential(below, nn.Flatten()), backbone.channels, region_pool_size(model, backbone))


def build_tail(model: ModelConfig, backbone: BuiltBackbone) -> tuple[nn.Module, int]:
    """Return the tail, from region maps (S, C, pool_size, pool_size) to vectors (S, F), and F.

    A transformation of the region maps goes before it if the settings ask for one.
    """
    pool_size, config = region_pool_size(model, backbone), model.head
    if config.type == "fc":
        tail: nn.Module = TwoLayerFC(backbone.channels, pool_size, config.fc_dim)
        features = config.fc_dim
    elif config.type == "conv_fc":
        tail = ConvFC(backbone.channels, pool_size, config.num_convs, config.fc_dim, config.norm)
        features = config.fc_dim
    else:
        tail, features = _network_tail(model, backbone, pool_size)
    if config.svd_ranks is not None:
        try:
            replace_linears(tail, config.svd_ranks, empty_like)
        except ValueError as error:
            raise UserError(f"model.head.svd_ranks: {error}") from None
    if config.transform == "spatial_transformer":
        tail = nn.Sequential(SpatialTransformer(backbone.channels, pool_size), tail)
    return tail, features


def _network_tail(model: ModelConfig, backbone: BuiltBackbone, pool_size: int) -> tuple[nn.Module, int]:
    """Return the network's own layers above the cut, and the length of the vectors that they return."""
    network = backbone.network
    tail = nn.Sequential(*network.stages[len(network.stages) - network.tail_stages :], network.tail)
    try:
        return tail, tail_dim(tail, backbone.channels, pool_size)
    except RuntimeError:  # a linear layer of the network reads maps of one size only
        if pool_size == network.pool_size:
            raise
        raise UserError(
            f"model.head.pool_size: expected {network.pool_size} or null for the tail of {model.backbone.name}, "
            f"found {pool_size} (with model.head.type fc any size fits)"
        ) from None


def region_pool_size(model: ModelConfig, backbone: BuiltBackbone) -> int:
    """Return the side of a region map in cells: the setting, else what the tail was made for, 7 for a new tail."""
    if model.head.pool_size is not None:
        return model.head.pool_size
    return backbone.network.pool_size if model.head.type == "backbone" else 7
