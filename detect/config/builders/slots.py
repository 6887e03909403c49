"""Build the part that fills a slot of the detector from the settings of that slot."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from detect.config import ModelConfig
from detect.config.builders.backbone import BuiltBackbone
from detect.config.builders.heads import region_pool_size
from detect.errors import UserError
from detect.models.backbones.network import output_size
from detect.models.detector import HeadTraining
from detect.models.heads.masks import CascadeMaskHead, MaskHead
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
    return _build_pooling(model, backbone, region_pool_size(model, backbone))


def build_mask_head(model: ModelConfig, backbone: BuiltBackbone, num_classes: int) -> MaskHead | CascadeMaskHead:
    """Return the mask head, which pools larger regions from the shared maps, or one for each stage of a cascade.

    The loss of each stage counts for its share of them, so that the maps get the gradient of one mask loss.
    """
    if not model.mask.per_stage:
        return _build_mask_head(model, backbone, num_classes, model.mask.weight)
    num_stages = len(model.stage_delta_stds)
    weight = model.mask.weight / num_stages
    return CascadeMaskHead(_build_mask_head(model, backbone, num_classes, weight) for _ in range(num_stages))


def _build_mask_head(model: ModelConfig, backbone: BuiltBackbone, num_classes: int, weight: float) -> MaskHead:
    """Return a mask head whose loss has ``weight``."""
    config = model.mask
    assert config.pool_size is not None, "a Mask R-CNN"
    return MaskHead(
        regions=_build_pooling(model, backbone, config.pool_size),
        in_channels=backbone.channels,
        num_classes=num_classes,
        num_convs=config.num_convs,
        channels=config.channels,
        norm=config.norm,
        weight=weight,
        aligned_targets=model.regions.aligned,
    )


def _build_pooling(model: ModelConfig, backbone: BuiltBackbone, pool_size: int) -> PooledRegions | PyramidRegions:
    """Return the part that pools regions of ``pool_size`` cells a side from the shared maps."""
    sampling = (model.regions.sampling_ratio, model.regions.aligned)
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
