"""Adversaries that hide cells of regions: two controls without weights, and the network of A-Fast-RCNN (ASDN).

Wang, Shrivastava and Gupta 2017 (arXiv:1704.03414), section 4.1; what follows the authors' code says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from detect.models.adversaries.adversary import (
    Adversary,
    ForegroundRegions,
    SpoiledRegions,
    true_class_probability,
)
from detect.models.slots import Stage
from detect.ops.dtype import at_least_float32
from detect.ops.region_masks import cell_counts, draw_cells, hardest_windows, hide
from detect.types import MeanLoss


@dataclass(frozen=True)
class CellDraw:
    """How cells are drawn: the fractions of a region's cells that are candidates, and that are dropped of them.

    Of 7 x 7 cells the authors' code drops 15 of the 20 candidates.
    """

    candidates: float = 20 / 49
    dropped: float = 15 / 49

    def draw(self, scores: Tensor, random_values: Tensor) -> Tensor:
        """Draw cells to drop among those with the highest scores (F, d, d): a mask (F, d, d) bool."""
        return draw_cells(scores, random_values, *cell_counts(scores.shape[-1], self.candidates, self.dropped))


class RandomDropout(Adversary):
    """The first control: hides as many cells as ASDN, drawn among all."""

    def __init__(self, cells: CellDraw) -> None:
        super().__init__()
        self.cells = CellDraw(candidates=1.0, dropped=cells.dropped)

    def spoil(self, stage: Stage, regions: ForegroundRegions) -> SpoiledRegions:  # noqa: ARG002 - that of Adversary
        """Hide random cells."""
        masks = self.cells.draw(torch.zeros_like(regions.maps[:, 0]), regions.random_values)
        return SpoiledRegions(hide(regions.maps, masks), {})


class HardDropout(Adversary):
    """The second control: hides the window of each region that lowers the probability of its class most.

    It runs the head once for each window, 25 times with 7 x 7 cells, on the foreground.
    """

    def spoil(self, stage: Stage, regions: ForegroundRegions) -> SpoiledRegions:
        """Hide the window that hurts most."""
        probability = partial(true_class_probability, stage, labels=regions.labels)
        return SpoiledRegions(hide(regions.maps, hardest_windows(probability, regions.maps.detach())), {})


class OcclusionNetwork(Adversary):
    """ASDN, the adversarial spatial dropout network: from a region map to a logit for each cell, to be hidden or not.

    3x3 convolutions of ``width`` channels with ReLU, and one to a single channel (the authors' code has four of 256;
    the paper two fully connected layers). min_drop: what a mask must cost of the probability of the true class to be
    imitated; weight: of the loss of the imitation. In the authors' code they are 0.1 and 0.0025.
    """

    def __init__(
        self,
        channels: int,
        width: int = 256,
        num_convs: int = 4,
        cells: CellDraw = CellDraw(),
        min_drop: float = 0.1,
        weight: float = 0.0025,
    ) -> None:
        super().__init__()
        widths = [channels, *[width] * num_convs]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 3, padding=1))
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type] # it has one
        self.cells, self.min_drop, self.weight = cells, min_drop, weight

    def forward(self, maps: Tensor) -> Tensor:
        """Predict from region maps (F, C, d, d) -> logits (F, d, d), float32 at least; the maps get no gradient."""
        return at_least_float32(self.layers(maps.detach()).squeeze(1))

    def spoil(self, stage: Stage, regions: ForegroundRegions) -> SpoiledRegions:
        """Hide cells drawn among those with the highest logits, and learn to repeat the masks that hurt.

        The loss is the mean over the cells of all sampled regions of the images, background included, where the masks
        that do not hurt count as 0 (the authors' code).
        """
        logits = self(regions.maps)
        masks = self.cells.draw(logits.detach(), regions.random_values)
        spoiled = hide(regions.maps, masks)
        if not self.weight:
            return SpoiledRegions(spoiled, {})  # no gradient at all: weight decay leaves it as it is too
        before, after = (
            true_class_probability(stage, maps.detach(), regions.labels) for maps in (regions.maps, spoiled)
        )
        loss = self.weight * imitation_loss(logits, masks, before - after > self.min_drop) / max(regions.num_samples, 1)
        return SpoiledRegions(spoiled, {"adversary_mask": MeanLoss(loss, regions.num_samples)})

    def losses_alone(self, stage: Stage, regions: ForegroundRegions) -> dict[str, MeanLoss]:
        """Return the loss by which it learns to name the window that hurts most: the mean over foreground cells."""
        probability = partial(true_class_probability, stage, labels=regions.labels)
        masks = hardest_windows(probability, regions.maps)
        count = len(regions.labels)
        hurts = torch.ones_like(regions.labels, dtype=torch.bool)
        return {"adversary_mask": MeanLoss(imitation_loss(self(regions.maps), masks, hurts) / max(count, 1), count)}

    def hiding(self, maps: Tensor) -> Tensor:
        """Return the probability (F, d, d) by which it names each cell of region maps (F, C, d, d)."""
        logits: Tensor = self(maps)
        return logits.sigmoid()


def imitation_loss(logits: Tensor, masks: Tensor, hurts: Tensor) -> Tensor:
    """Return the sum over the regions that ``hurts`` (F,) names of the mean binary cross-entropy of their cells.

    logits (F, d, d); masks (F, d, d) bool: the cells that were hidden. It is 0, with a gradient of 0, without any.
    """
    losses = functional.binary_cross_entropy_with_logits(logits, masks.to(logits.dtype), reduction="none")
    return (losses.mean((1, 2)) * hurts).sum()
