"""Build the backbone, the part that runs on the whole image, from its settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from detect.config import ModelConfig
from detect.errors import UserError
from detect.models.backbones.necks import FPN, Backbone, MergeLastTwo
from detect.models.backbones.network import SplitNetwork, StagedBody, dilate, map_shapes
from detect.models.backbones.normalization import convert_norms

Stages = tuple[nn.Module, ...]


@dataclass(frozen=True)
class BuiltBackbone:
    """Body and neck as one module, and what the parts built on them need to know.

    channels: of every map; strides: of each map, finest first; region_strides: of the maps that regions are cut from;
    network: the split network, whose tail may become the head.
    """

    module: nn.Module
    channels: int
    strides: tuple[int, ...]
    region_strides: tuple[int, ...]
    network: SplitNetwork


def build_backbone(model: ModelConfig, network: SplitNetwork) -> BuiltBackbone:
    """Return body and neck of a network.

    The body has all stages where there is a neck, a dilated stage or a new tail, else the stages below the tail.
    Raises UserError for settings that the network does not allow.
    """
    config = model.backbone
    convert_norms((*network.stages, network.tail), config.norm)
    stages = _body_stages(model, network)
    num_outputs = {"c4": 1, "dc5": 1, "merged": 2, "fpn": config.fpn_levels}[config.output]
    if num_outputs > len(stages):
        raise UserError(
            f"model.backbone.fpn_levels: expected at most {len(stages)} for {config.name}, found {config.fpn_levels}"
        )
    body = StagedBody(stages, config.frozen_stages, num_outputs)
    shapes = map_shapes(body)
    channels, strides = [shape.channels for shape in shapes], tuple(shape.stride for shape in shapes)
    if config.upsampling == "transposed" and any(2 * fine != coarse for fine, coarse in pairwise(strides)):
        raise UserError(
            "model.backbone.upsampling: expected nearest where strides do not double "
            f"({config.name}: {', '.join(map(str, strides))}), found transposed"
        )
    if config.output == "merged":
        if strides[0] == strides[1]:
            raise UserError(f"model.backbone.output: merged needs two strides, {config.name} ends with one")
        merge = MergeLastTwo(channels, config.neck_channels, config.neck_conv_type, config.upsampling)
        return BuiltBackbone(Backbone(body, merge), config.neck_channels, strides[:1], strides[:1], network)
    if config.output == "fpn":
        fpn = FPN(channels, config.neck_channels, config.neck_norm, config.neck_conv_type, config.upsampling)
        return BuiltBackbone(Backbone(body, fpn), config.neck_channels, (*strides, 2 * strides[-1]), strides, network)
    return BuiltBackbone(body, channels[0], strides, strides, network)


def _body_stages(model: ModelConfig, network: SplitNetwork) -> Stages:
    """Return the stages of the body, the last one split or dilated if the settings say so."""
    config = model.backbone
    keeps_network_tail = model.head.type == "backbone"
    if config.output != "c4" and keeps_network_tail:
        raise UserError(
            f"model.head.type: expected fc or conv_fc with model.backbone.output {config.output}, found backbone"
        )
    stages = network.stages[: len(network.stages) - network.tail_stages] if keeps_network_tail else network.stages
    if config.split_last_stage is not None:
        stages = _split_last_stage(stages, config.split_last_stage, config.name)
    if config.frozen_stages > len(stages):
        raise UserError(
            f"model.backbone.frozen_stages: expected at most {len(stages)} for {config.name}, "
            f"found {config.frozen_stages}"
        )
    if config.output == "dc5":
        try:
            dilate(stages[-1])
        except ValueError as error:
            raise UserError(f"model.backbone.output: dc5: {error}, {config.name} ends with another") from None
    return stages


def _split_last_stage(stages: Sequence[nn.Module], num_layers: int, name: str) -> Stages:
    """Return the stages with the last one cut in two, of which the first has ``num_layers`` layers."""
    last = stages[-1]
    if not isinstance(last, nn.Sequential) or not num_layers < len(last):
        max_layers = len(last) - 1 if isinstance(last, nn.Sequential) else 0
        raise UserError(
            f"model.backbone.split_last_stage: expected at most {max_layers} of the last stage's layers of {name}, "
            f"found {num_layers}"
        )
    return (*stages[:-1], last[:num_layers], last[num_layers:])
