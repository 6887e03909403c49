"""Build detectors from settings: R-CNN, Fast, Faster, Cascade and Mask R-CNN, one after the other.

From R-CNN to Fast R-CNN the body moves from the regions to the backbone, so that all regions of an image share its
features. From Fast to Faster R-CNN the proposer becomes a trained network. In a cascade, which may have the proposals
of either, the head becomes a chain. A Mask R-CNN, which may be a cascade, has a mask head too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor, nn

from detect.config import Config, ModelConfig
from detect.config.builders.backbone import BuiltBackbone, build_backbone
from detect.config.builders.heads import (
    build_cascade_head,
    build_head,
    build_rcnn_head,
    build_refinements,
    build_softmax_head,
)
from detect.config.builders.slots import (
    build_crop_regions,
    build_head_training,
    build_mask_head,
    build_postprocess,
    build_proposer,
    build_roi_regions,
    build_rpn,
    precomputed_selection,
    proposal_selection,
    rpn_selection,
)
from detect.config.train import HEAD_PARTS, TrainablePart
from detect.errors import UserError
from detect.models.backbones import registry
from detect.models.backbones.network import NoBackbone, SplitNetwork
from detect.models.backbones.pretrained import WeightsReport, load_pretrained
from detect.models.detector import Detector
from detect.models.proposers.precomputed import PrecomputedProposals
from detect.models.tta import AugmentedView, DetectorWithTTA
from detect.ops.preprocess import Preprocess


def frozen_parts(trainable: Collection[TrainablePart]) -> set[str]:
    """Return the parts to freeze, as ``Detector.freeze`` names them, for the setting ``train.trainable``."""
    frozen: set[str] = {"backbone", "proposer", "head"} - set(trainable)
    output_layers = HEAD_PARTS - {"head"}
    if "head" in frozen and not output_layers.isdisjoint(trainable):
        return (frozen - {"head"}) | {"tail"} | (output_layers - set(trainable))
    return frozen


def rcnn(model: ModelConfig, backbone: BuiltBackbone, classes: tuple[str, ...]) -> Detector:
    """Return an R-CNN: proposals come with the images, and the body runs on the warped pixels of each."""
    return Detector(
        backbone=NoBackbone(),
        proposer=PrecomputedProposals(),
        regions=build_crop_regions(model, backbone),
        head=build_rcnn_head(model, backbone, len(classes)),
        postprocess=build_postprocess(model, classes),
        head_training=build_head_training(model, precomputed_selection(model.search.train_top_n)),
        test_selection=precomputed_selection(model.search.test_top_n),
    )


def fast_rcnn(model: ModelConfig, backbone: BuiltBackbone, classes: tuple[str, ...]) -> Detector:
    """Return a Fast R-CNN: proposals come with the images, and regions are pooled from the shared map."""
    return Detector(
        backbone=backbone.module,
        proposer=PrecomputedProposals(),
        regions=build_roi_regions(model, backbone),
        head=build_softmax_head(model, backbone, len(classes)),
        postprocess=build_postprocess(model, classes),
        head_training=build_head_training(model, precomputed_selection(model.search.train_top_n)),
        test_selection=precomputed_selection(model.search.test_top_n),
    )


def faster_rcnn(model: ModelConfig, backbone: BuiltBackbone, classes: tuple[str, ...]) -> Detector:
    """Return a Faster R-CNN: an RPN predicts proposals from the shared map, and regions are pooled from it."""
    return Detector(
        backbone=backbone.module,
        proposer=build_rpn(model, backbone),
        regions=build_roi_regions(model, backbone),
        head=build_softmax_head(model, backbone, len(classes)),
        postprocess=build_postprocess(model, classes),
        head_training=build_head_training(model, rpn_selection(model, training=True)),
        test_selection=rpn_selection(model, training=False),
    )


def cascade_rcnn(model: ModelConfig, backbone: BuiltBackbone, classes: tuple[str, ...]) -> Detector:
    """Return a Cascade R-CNN: regions are pooled again from the boxes of each stage of the head, for the next one."""
    return Detector(
        backbone=backbone.module,
        proposer=build_proposer(model, backbone),
        regions=build_roi_regions(model, backbone),
        head=build_cascade_head(model, backbone, len(classes)),
        postprocess=build_postprocess(model, classes),
        head_training=build_head_training(model, proposal_selection(model, training=True)),
        test_selection=proposal_selection(model, training=False),
        refinements=build_refinements(model),
        average=model.cascade.average,
    )


def mask_rcnn(model: ModelConfig, backbone: BuiltBackbone, classes: tuple[str, ...]) -> Detector:
    """Return a Mask R-CNN: beside the head, of one stage or a cascade, a mask head reads regions of its own."""
    return Detector(
        backbone=backbone.module,
        proposer=build_proposer(model, backbone),
        regions=build_roi_regions(model, backbone),
        head=build_head(model, backbone, len(classes)),
        postprocess=build_postprocess(model, classes),
        head_training=build_head_training(model, proposal_selection(model, training=True)),
        test_selection=proposal_selection(model, training=False),
        refinements=build_refinements(model),
        average=model.cascade.average,
        mask_head=build_mask_head(model, backbone, len(classes)),
    )


def _composition(model: ModelConfig) -> Callable[[ModelConfig, BuiltBackbone, tuple[str, ...]], Detector]:
    """Return the function that composes the detector of these settings."""
    if model.kind == "rcnn":
        return rcnn
    if model.predicts_masks:
        return mask_rcnn
    if model.cascade.ious is not None:
        return cascade_rcnn
    return fast_rcnn if model.uses_precomputed_proposals else faster_rcnn


def composition_note(model: ModelConfig) -> str | None:
    """Return a sentence where other settings make another detector than ``model.kind`` says; None where they do not."""
    composed = _composition(model).__name__
    if composed == model.kind:
        return None
    reasons = {
        "model.mask.pool_size": model.predicts_masks,
        "model.cascade.ious": model.cascade.ious is not None,
        "model.proposals": model.uses_precomputed_proposals,
    }
    keys = " and ".join(key for key, is_reason in reasons.items() if is_reason)
    return f"model.kind is {model.kind}, but {keys} make{'s' if ' and ' not in keys else ''} this a {composed}"


def build_detector(config: Config, classes: tuple[str, ...]) -> tuple[Detector, WeightsReport | None]:
    """Return a detector with initial weights, and a report on the weights file if there is one.

    The same seed gives the same weights. Raises UserError for settings that exclude each other.
    """
    name, weights = config.model.backbone.name, config.model.backbone.weights
    network = _random_network(config)
    report = None if weights is None else load_pretrained(network, name, weights)
    return _build_around(registry.split_stages(name, network), config, classes), report


def pretrained_tensors(config: Config, classes: tuple[str, ...]) -> set[str]:
    """Return the names of the detector's tensors that ``model.backbone.weights`` may set, without reading a file.

    They are those of the network that the settings name: of its stages, and of its tail where that is the head's.
    """
    with torch.device("meta"):
        network = registry.split_stages(config.model.backbone.name, _random_network(config))
        detector = _build_around(network, config, classes)
    # the parts of the split network, as its norms are converted in them and not in the network itself
    states = [part.state_dict(keep_vars=True) for part in (*network.stages, network.tail)]
    from_network = {id(tensor) for state in states for tensor in state.values()}
    return {name for name, tensor in detector.state_dict(keep_vars=True).items() if id(tensor) in from_network}


def _random_network(config: Config) -> nn.Module:
    """Return the full network of the backbone with the random weights of the seed."""
    registry.require_known(config.model.backbone.name)
    torch.manual_seed(config.seed)
    return registry.build_network(config.model.backbone.name)


def _build_around(network: SplitNetwork, config: Config, classes: tuple[str, ...]) -> Detector:
    """Return the detector whose backbone, and tail where the settings say so, are the parts of a network."""
    detector = _composition(config.model)(config.model, build_backbone(config.model, network), classes)
    detector.freeze(frozen_parts(config.train.trainable))
    return detector.to(memory_format=torch.channels_last)


def build_uninitialized(config: Config, classes: tuple[str, ...]) -> Detector:
    """Return a detector whose weights are loaded from a checkpoint afterwards; it needs no weights file."""
    backbone = config.model.backbone.model_copy(update={"weights": None})
    return build_detector(
        config.model_copy(update={"model": config.model.model_copy(update={"backbone": backbone})}), classes
    )[0]


def backbone_weights(config: Config, classes: tuple[str, ...], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of an R-CNN's network by the names of its maker, for ``model.backbone.weights``.

    The network's own classifier is left out: the detector does not have it.
    """
    network = registry.build_network(config.model.backbone.name)
    stages = registry.split_stages(config.model.backbone.name, network)
    detector = rcnn(config.model, build_backbone(config.model, stages), classes)
    detector.load_state_dict(weights)
    loaded = {tensor.data_ptr() for tensor in detector.state_dict().values()}
    return {name: tensor for name, tensor in network.state_dict().items() if tensor.data_ptr() in loaded}


def with_tta(config: Config, detector: Detector) -> Detector | DetectorWithTTA:
    """Return the detector itself, or test-time augmentation around it if the settings ask for it."""
    settings = config.model.test_time
    flips = (False, True) if settings.flip else (False,)
    views = [AugmentedView(scale, flip) for scale in settings.scales for flip in flips]
    return detector if views == [AugmentedView()] else DetectorWithTTA(detector, views, settings.merge)


def build_preprocess(config: Config) -> Preprocess:
    """Return the preprocessing of a model's input; of several training sizes the last one is used for detection."""
    data, settings = config.data, config.model.preprocess
    if settings.resize == "float" and data.augment.color_jitter:
        raise UserError(
            "data.augment.color_jitter: expected 0 with model.preprocess.resize float (colors are changed as whole "
            f"numbers), found {data.augment.color_jitter:g}"
        )
    (red, green, blue), (red_std, green_std, blue_std) = settings.mean, settings.std
    return Preprocess(
        data.min_sizes[-1],
        data.max_size,
        mean=(red / 255, green / 255, blue / 255),
        std=(red_std / 255, green_std / 255, blue_std / 255),
        divisor=data.size_divisor,
        resizing=settings.resize,
        channels=settings.channels,
    )
