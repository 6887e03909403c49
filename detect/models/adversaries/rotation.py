"""The adversary that deforms regions (ASTN), and both adversaries one after the other.

Wang, Shrivastava and Gupta 2017 (arXiv:1704.03414), section 4.2: a spatial transformer (Jaderberg et al. 2015) that
only rotates, by 10 degrees at most, and each of four groups of channels by an angle of its own. It learns by the
gradient of the detector's losses with its sign reversed (Ganin and Lempitsky 2015, arXiv:1409.7495).
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from detect.models.adversaries.adversary import Adversary, ForegroundRegions, SpoiledRegions
from detect.models.adversaries.dropout import OcclusionNetwork
from detect.models.slots import Stage
from detect.ops.dtype import at_least_float32
from detect.types import MeanLoss

CHANNELS = 32  # of the localization network, as in heads/spatial_transformer.py


def reverse_gradient(tensor: Tensor) -> Tensor:
    """Return the same numbers, to the bit, through which the gradient passes with its sign reversed."""
    return 2 * tensor.detach() - tensor


def rotate_groups(maps: Tensor, angles: Tensor) -> Tensor:
    """Rotate each of G groups of channels around the center of its map; bilinear, 0 outside the map.

    maps (F, C, d, d), in C channels of which the first groups have one more where G does not divide C; angles (F, G) in
    radians, positive clockwise as seen on the image. Returns (F, C, d, d) in the dtype of the angles.
    """
    side = maps.shape[-1]
    centers = (torch.arange(side, device=angles.device, dtype=angles.dtype) * 2 + 1) / side - 1
    x, y = centers[None, None, None, :], centers[None, None, :, None]
    cos, sin = angles.cos()[..., None, None], angles.sin()[..., None, None]
    points = torch.stack([cos * x + sin * y, cos * y - sin * x], -1)  # (F, G, d, d, 2): where a cell is read
    groups = maps.to(angles.dtype).tensor_split(angles.shape[1], 1)
    return torch.cat(
        [functional.grid_sample(group, points[:, g], align_corners=False) for g, group in enumerate(groups)], 1
    )


class RotationNetwork(Adversary):
    """ASTN, the adversarial spatial transformer network: predicts the angles by which it rotates groups of channels.

    max_angle: in degrees. Two convolutions and a last one, whose weights are 0 at first: it begins with no rotation.
    (The paper has three fully connected layers, of which two begin as those of VGG16.) A limit by tanh keeps the
    gradient at every angle.
    """

    def __init__(self, channels: int, pool_size: int, max_angle: float = 10.0, groups: int = 4) -> None:
        super().__init__()
        self.localisation = nn.Sequential(
            nn.Conv2d(channels, CHANNELS, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(CHANNELS, CHANNELS, pool_size),
            nn.ReLU(),
            nn.Conv2d(CHANNELS, groups, 1),
        )
        last = self.localisation[-1]
        for zero in (last.weight, last.bias):
            nn.init.zeros_(zero)  # type: ignore[arg-type] # a convolution has both
        self.max_angle = math.radians(max_angle)

    def forward(self, maps: Tensor) -> Tensor:
        """Predict the angles (F, G) in radians of region maps (F, C, d, d); the maps get no gradient."""
        return self.max_angle * at_least_float32(self.localisation(maps.detach()).flatten(1)).tanh()

    def spoil(self, stage: Stage, regions: ForegroundRegions) -> SpoiledRegions:  # noqa: ARG002 - that of Adversary
        """Rotate the regions; the detector's losses, reversed, are those that it learns from."""
        return SpoiledRegions(rotate_groups(regions.maps, reverse_gradient(self(regions.maps))), {})

    def losses_alone(self, stage: Stage, regions: ForegroundRegions) -> dict[str, MeanLoss]:
        """Return the class loss of the rotated regions, whose gradient reaches it reversed: it learns to raise it."""
        logits, _ = stage(self.spoil(stage, regions).maps)
        count = len(regions.labels)
        loss = functional.cross_entropy(logits, regions.labels, reduction="sum") / max(count, 1)
        return {"adversary_rotation": MeanLoss(loss, count)}


class OcclusionAndRotation(Adversary):
    """Both adversaries: the regions are occluded first and then rotated (the paper's figure 4)."""

    def __init__(self, occlusion: OcclusionNetwork, rotation: RotationNetwork) -> None:
        super().__init__()
        self.occlusion, self.rotation = occlusion, rotation

    def spoil(self, stage: Stage, regions: ForegroundRegions) -> SpoiledRegions:
        """Hide cells, and rotate what is left."""
        occluded = self.occlusion.spoil(stage, regions)
        rotated = self.rotation.spoil(stage, replace(regions, maps=occluded.maps))
        return SpoiledRegions(rotated.maps, occluded.losses | rotated.losses)

    def losses_alone(self, stage: Stage, regions: ForegroundRegions) -> dict[str, MeanLoss]:
        """Return the losses of both, each on the regions as they are."""
        return self.occlusion.losses_alone(stage, regions) | self.rotation.losses_alone(stage, regions)

    def hiding(self, maps: Tensor) -> Tensor:
        """Return what the first of the two hides."""
        return self.occlusion.hiding(maps)
