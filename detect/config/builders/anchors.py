"""Build the anchors of a configuration without its weights, to measure them on a data set."""

from __future__ import annotations

import torch

from detect.config import ModelConfig
from detect.config.builders.backbone import build_backbone
from detect.config.builders.slots import build_anchor_generator
from detect.data.inspect.statistics import AnchorConfig
from detect.models.backbones import registry


def build_anchor_config(model: ModelConfig) -> AnchorConfig:
    """Return the anchors of a Faster R-CNN on each of its maps. Raises UserError for settings that do not fit."""
    registry.require_known(model.backbone.name)
    with torch.device("meta"):  # neither memory nor random numbers
        network = registry.split_stages(model.backbone.name, registry.build_network(model.backbone.name))
        strides = build_backbone(model, network).strides
    return AnchorConfig(build_anchor_generator(model, len(strides)), strides, model.rpn.allowed_border)
