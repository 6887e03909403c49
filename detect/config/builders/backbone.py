"""Settings of the backbone -> what runs on the whole picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from detect.config import ModelConfig
from detect.errors import UserError
from detect.models.backbones.necks import Backbone, Merge, Pyramid
from detect.models.backbones.network import Body, Network, dilate, map_shapes
from detect.models.backbones.normalization import change_norms

Stages = tuple[nn.Module, ...]


@dataclass(frozen=True)
class Trunk:
    """Body and neck, and what the slots above them must know.

    channels: of every map; strides: of each map, finest first; region_strides: of those that regions are cut from.
    """

    backbone: nn.Module
    channels: int
    strides: tuple[int, ...]
    region_strides: tuple[int, ...]
    network: Network


def make_trunk(model: ModelConfig, network: Network) -> Trunk:
    """Body and neck: all stages where there is a neck, a dilated stage or a new tail, else those below the tail."""
    settings = model.backbone
    change_norms((*network.stages, network.tail), settings.norm)
    stages = _stages(model, network)
    outputs = {"map": 1, "dilated": 1, "merged": 2, "pyramid": settings.levels}[settings.output]
    if outputs > len(stages):
        raise UserError(
            f"model.backbone.levels: expected at most {len(stages)} for {settings.name}, found {settings.levels}"
        )
    body = Body(stages, settings.frozen_stages, outputs)
    shapes = map_shapes(body)
    channels, strides = [shape.channels for shape in shapes], tuple(shape.stride for shape in shapes)
    if settings.upsampling == "transposed" and any(2 * fine != coarse for fine, coarse in pairwise(strides)):
        found = ", ".join(map(str, strides))
        raise UserError(
            f"model.backbone.upsampling: expected nearest where strides do not double ({settings.name}: {found}), "
            "found transposed"
        )
    if settings.output == "merged":
        if strides[0] == strides[1]:
            raise UserError(f"model.backbone.output: merged needs two strides, {settings.name} ends with one")
        merge = Merge(channels, settings.width, settings.neck_convolution, settings.upsampling)
        return Trunk(Backbone(body, merge), settings.width, strides[:1], strides[:1], network)
    if settings.output == "pyramid":
        neck = Pyramid(channels, settings.width, settings.neck_norm, settings.neck_convolution, settings.upsampling)
        return Trunk(Backbone(body, neck), settings.width, (*strides, 2 * strides[-1]), strides, network)
    return Trunk(body, channels[0], strides, strides, network)


def _stages(model: ModelConfig, network: Network) -> Stages:
    """The stages of the body, the last one split or dilated where the settings say so."""
    settings = model.backbone
    own_tail = model.head.tail == "network"
    if settings.output != "map" and own_tail:
        raise UserError(
            f"model.head.tail: expected linear or convolved with model.backbone.output {settings.output}, found network"
        )
    stages = network.stages[: len(network.stages) - network.tail_stages] if own_tail else network.stages
    if settings.split is not None:
        stages = _split(stages, settings.split, settings.name)
    if settings.frozen_stages > len(stages):
        raise UserError(
            f"model.backbone.frozen_stages: expected at most {len(stages)} for {settings.name}, "
            f"found {settings.frozen_stages}"
        )
    if settings.output == "dilated":
        try:
            dilate(stages[-1])
        except ValueError as error:
            raise UserError(f"model.backbone.output: dilated: {error}, {settings.name} ends with another") from None
    return stages


def _split(stages: Sequence[nn.Module], layers: int, name: str) -> Stages:
    """The last stage in two, the first of them with so many layers."""
    last = stages[-1]
    if not isinstance(last, nn.Sequential) or not layers < len(last):
        most = len(last) - 1 if isinstance(last, nn.Sequential) else 0
        raise UserError(
            f"model.backbone.split: expected at most {most} of the last stage's layers of {name}, found {layers}"
        )
    return (*stages[:-1], last[:layers], last[layers:])
