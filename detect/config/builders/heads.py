"""Build the head of a detector from its settings: a stage or a chain of them, each with its tail."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

from torch import nn

from detect.config import ModelConfig
from detect.config.builders.backbone import BuiltBackbone
from detect.errors import UserError
from detect.models.backbones.network import tail_dim
from detect.models.heads.cascade import CascadeHead, Refinement
from detect.models.heads.low_rank import empty_like, linear_layers, replace_linears
from detect.models.heads.rcnn import RCNNHead
from detect.models.heads.softmax import SoftmaxHead
from detect.models.heads.spatial_transformer import SpatialTransformer
from detect.models.heads.tails import ConvFC, TwoLayerFC, split_tail
from detect.ops.matching import Matcher


def build_softmax_head(model: ModelConfig, backbone: BuiltBackbone, num_classes: int) -> SoftmaxHead:
    """Return the head of Fast and Faster R-CNN, or a stage of a cascade: tail, classifier and deltas."""
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


def build_head(model: ModelConfig, backbone: BuiltBackbone, num_classes: int) -> SoftmaxHead | CascadeHead:
    """Return the head of the settings: that of a single stage, or of a cascade."""
    is_cascade = model.cascade.ious is not None
    return (build_cascade_head if is_cascade else build_softmax_head)(model, backbone, num_classes)


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
