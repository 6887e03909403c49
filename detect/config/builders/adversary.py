"""Build the adversary that a detector is trained against, which is no part of the detector."""

from __future__ import annotations

import torch

from detect.config import Config
from detect.config.builders.backbone import build_backbone
from detect.config.builders.heads import region_pool_size
from detect.models.adversaries.adversary import Adversary
from detect.models.adversaries.dropout import CellDraw, HardDropout, OcclusionNetwork, RandomDropout
from detect.models.adversaries.rotation import OcclusionAndRotation, RotationNetwork
from detect.models.backbones import registry
from detect.system import randomness


def build_adversary(config: Config) -> Adversary | None:
    """Return the adversary of the settings with initial weights, None for none; the same seed gives the same weights.

    The detector's own weights do not depend on it.
    """
    settings = config.model.adversary
    if settings.type == "none":
        return None
    channels, pool_size = _region_shape(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(randomness.hash_key(config.seed, "adversary weights"))
        cells = CellDraw(candidates=settings.candidates, dropped=settings.dropped)
        if settings.type == "random_dropout":
            return RandomDropout(cells)
        if settings.type == "hard_dropout":
            return HardDropout()
        occlusion = OcclusionNetwork(
            channels, settings.channels, settings.num_convs, cells, settings.min_score_drop, settings.loss_weight
        )
        rotation = RotationNetwork(channels, pool_size, settings.max_angle, settings.groups)
    parts: dict[str, Adversary] = {"asdn": occlusion, "astn": rotation}
    return parts.get(settings.type) or OcclusionAndRotation(occlusion, rotation)


def _region_shape(config: Config) -> tuple[int, int]:
    """Return the channels of a region map and its side in cells."""
    name = config.model.backbone.name
    with torch.device("meta"):
        backbone = build_backbone(config.model, registry.split_stages(name, registry.build_network(name)))
    return backbone.channels, region_pool_size(config.model, backbone)
