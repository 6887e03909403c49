"""Faithfulness of a heat map: the score while the pixels that it marks are hidden, or revealed, in falling order.

Petsiuk et al. 2018 (RISE, arXiv:1806.07421, section 4.2). A faithful map makes the deletion curve fall early and the
insertion curve rise early.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from detect.explain.attribution.target import AttributionTarget

STEPS = 8  # each step hides or reveals the same number of pixels


@dataclass(frozen=True)
class Faithfulness:
    """The areas under the curves of the score over the fraction of pixels, divided by the score of the whole image."""

    deletion: float
    insertion: float

    @property
    def insertion_minus_deletion(self) -> float:
        """Return insertion minus deletion: about 0 for a random order of the pixels, at most about 1."""
        return self.insertion - self.deletion


@torch.no_grad()
def faithfulness(target: AttributionTarget, index: int, heat: Tensor) -> Faithfulness:
    """Return the faithfulness of a heat map (h, w) of the detection at ``index`` of the target."""
    return faithfulness_of(target, heat, STEPS, lambda pixels: target.output(pixels)[:, index].tolist())


@torch.no_grad()
def faithfulness_of(
    target: AttributionTarget, heat: Tensor, steps: int, score: Callable[[Tensor], list[float]]
) -> Faithfulness:
    """Return the faithfulness of a heat map (h, w) to a score of pixels: (2, 3, H, W) -> two numbers.

    The map covers the target's pixels; padding does not count as pixels. Hidden pixels have the mean color. Pixels of
    equal value are taken in row-major order.
    """
    height, width = target.size
    full_size = (target.pixels.shape[2], target.pixels.shape[3])
    large = functional.interpolate(heat[None, None].float(), full_size, mode="bilinear", align_corners=False)
    order = large[0, 0, :height, :width].flatten().argsort(descending=True, stable=True)
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(order), device=order.device)
    first = torch.zeros(full_size, device=ranks.device)
    full_score, empty_score = score(torch.cat([target.pixels, torch.zeros_like(target.pixels)]))
    deleted, inserted = [full_score], [empty_score]
    for step in range(1, steps):
        first[:height, :width] = (ranks < len(order) * step / steps).view(height, width).float()
        without_first, only_first = score(torch.cat([target.pixels * (1 - first), target.pixels * first]))
        deleted.append(without_first)
        inserted.append(only_first)
    return Faithfulness(
        deletion=_area([*deleted, empty_score]) / full_score, insertion=_area([*inserted, full_score]) / full_score
    )


def _area(curve: list[float]) -> float:
    """Return the area under a curve in even steps from 0 to 1, by the trapezoidal rule."""
    return (sum(curve) - (curve[0] + curve[-1]) / 2) / (len(curve) - 1)
