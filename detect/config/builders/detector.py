"""The three generations, one under the other; and detectors from settings.

R-CNN to Fast R-CNN: the body moves from the regions to the backbone, so that all regions of an image share its work.
Fast to Faster R-CNN: the proposer learns.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from detect.config import Config, ModelConfig
from detect.config.builders.backbone import Trunk, make_trunk
from detect.config.builders.slots import (
    fitted_head,
    given_selection,
    make_postprocess,
    make_rpn,
    pooled_regions,
    region_training,
    rpn_selection,
    softmax_head,
    warped_crops,
)
from detect.errors import UserError
from detect.models.backbones import registry
from detect.models.backbones.network import NothingShared
from detect.models.backbones.pretrained import WeightsReport, load_initial
from detect.models.detector import Detector
from detect.models.proposers.precomputed import GivenProposals
from detect.models.tta import Look, ManyLooks
from detect.ops.preprocess import Preprocess

SLOTS_THAT_LEARN = {"backbone", "proposer", "head"}


def rcnn(model: ModelConfig, trunk: Trunk, classes: tuple[str, ...]) -> Detector:
    """R-CNN: proposals given with the images, the body run on the pixels of each."""
    return Detector(
        backbone=NothingShared(),
        proposer=GivenProposals(),
        regions=warped_crops(model, trunk),
        head=fitted_head(model, trunk, len(classes)),
        postprocess=make_postprocess(model, classes),
        training=region_training(model, given_selection(model.search.train_number)),
        selection=given_selection(model.search.test_number),
    )


def fast_rcnn(model: ModelConfig, trunk: Trunk, classes: tuple[str, ...]) -> Detector:
    """Fast R-CNN: proposals given with the images, regions pooled from the shared map."""
    return Detector(
        backbone=trunk.backbone,
        proposer=GivenProposals(),
        regions=pooled_regions(model, trunk),
        head=softmax_head(model, trunk, len(classes)),
        postprocess=make_postprocess(model, classes),
        training=region_training(model, given_selection(model.search.train_number)),
        selection=given_selection(model.search.test_number),
    )


def faster_rcnn(model: ModelConfig, trunk: Trunk, classes: tuple[str, ...]) -> Detector:
    """Faster R-CNN: proposals learned on the shared map, regions pooled from it."""
    return Detector(
        backbone=trunk.backbone,
        proposer=make_rpn(model, trunk),
        regions=pooled_regions(model, trunk),
        head=softmax_head(model, trunk, len(classes)),
        postprocess=make_postprocess(model, classes),
        training=region_training(model, rpn_selection(model, training=True)),
        selection=rpn_selection(model, training=False),
    )


def build_detector(config: Config, classes: tuple[str, ...]) -> tuple[Detector, WeightsReport | None]:
    """A detector with initial weights, and what the weights file gave it. The same seed gives the same weights."""
    registry.check_name(config.model.backbone.name)
    torch.manual_seed(config.seed)
    whole = registry.whole_network(config.model.backbone.name)
    weights = config.model.backbone.weights
    report = None if weights is None else load_initial(whole, config.model.backbone.name, weights)
    network = registry.cut(config.model.backbone.name, whole)
    shared = fast_rcnn if config.model.given else faster_rcnn
    compose = rcnn if config.model.kind == "rcnn" else shared
    detector = compose(config.model, make_trunk(config.model, network), classes)
    detector.freeze(SLOTS_THAT_LEARN - set(config.train.parts))
    return detector.to(memory_format=torch.channels_last), report


def empty_detector(config: Config, classes: tuple[str, ...]) -> Detector:
    """A detector whose weights are about to be loaded from a checkpoint; needs no file."""
    backbone = config.model.backbone.model_copy(update={"weights": None})
    return build_detector(
        config.model_copy(update={"model": config.model.model_copy(update={"backbone": backbone})}), classes
    )[0]


def backbone_weights(config: Config, classes: tuple[str, ...], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of an R-CNN's weights those of its network, by its maker's names: what ``model.backbone.weights`` takes.

    The network's own classifier is not among them: the detector has none of it.
    """
    whole = registry.whole_network(config.model.backbone.name)
    trunk = make_trunk(config.model, registry.cut(config.model.backbone.name, whole))
    detector = rcnn(config.model, trunk, classes)
    detector.load_state_dict(weights)
    held = {tensor.data_ptr() for tensor in detector.state_dict().values()}
    return {name: tensor for name, tensor in whole.state_dict().items() if tensor.data_ptr() in held}


def with_looks(config: Config, detector: Detector) -> Detector | ManyLooks:
    """The detector itself, or inside test-time augmentation where the settings ask for it."""
    settings = config.model.test_time
    looks = [
        Look(scale, mirror) for scale in settings.scales for mirror in ((False, True) if settings.flip else (False,))
    ]
    return detector if looks == [Look()] else ManyLooks(detector, looks, settings.merge)


def preprocess_rule(config: Config) -> Preprocess:
    """The rule for a model's input; of several training sizes the last one detects."""
    data, rule = config.data, config.model.preprocess
    if rule.resize == "float" and data.augment.colour:
        raise UserError(
            "data.augment.colour: expected 0 with model.preprocess.resize float (colours are changed as whole "
            f"numbers), found {data.augment.colour:g}"
        )
    (red, green, blue), (red_std, green_std, blue_std) = rule.mean, rule.std
    return Preprocess(
        data.min_sizes[-1],
        data.max_size,
        mean=(red / 255, green / 255, blue / 255),
        std=(red_std / 255, green_std / 255, blue_std / 255),
        divisor=data.divisor,
        resizing=rule.resize,
        channels=rule.channels,
    )
