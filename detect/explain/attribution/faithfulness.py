"""Whether a map tells the truth: the score while the pixels that it names are hidden, or shown, one after the other.

Petsiuk et al. 2018 (RISE, arXiv:1806.07421, section 4.2). A faithful map makes deletion fall at once, and insertion
rise at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from detect.explain.attribution.target import AttributionTarget

STEPS = 32  # each hides or shows as many pixels


@dataclass(frozen=True)
class Faithfulness:
    """Areas under the curves of the score over the share of pixels, in units of the score of the whole picture."""

    deletion: float
    insertion: float

    @property
    def insertion_minus_deletion(self) -> float:
        """Insertion less deletion: 0 for an order that says nothing, at most about 1."""
        return self.insertion - self.deletion


@torch.no_grad()
def faithfulness(view: AttributionTarget, place: int, heat: Tensor) -> Faithfulness:
    """Of a map (h, w) over the view's pixels for its detection at ``place``; padding counts as no pixel.

    Hidden pixels have the mean colour. Pixels of one value go by their place.
    """
    height, width = view.size
    wanted = (view.pixels.shape[2], view.pixels.shape[3])
    large = functional.interpolate(heat[None, None].float(), wanted, mode="bilinear", align_corners=False)
    order = large[0, 0, :height, :width].flatten().argsort(descending=True, stable=True)
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(order), device=order.device)
    first = torch.zeros(wanted, device=ranks.device)
    deleted, inserted = [], []
    for step in range(STEPS + 1):
        first[:height, :width] = (ranks < len(order) * step / STEPS).view(height, width).float()
        both = torch.cat([view.pixels * (1 - first), view.pixels * first])
        without, alone = view.output(both)[:, place].tolist()
        deleted.append(without)
        inserted.append(alone)
    return Faithfulness(_area(deleted) / deleted[0], _area(inserted) / deleted[0])


def _area(curve: list[float]) -> float:
    """Of even steps from 0 to 1, by the trapezoidal rule."""
    return (sum(curve) - (curve[0] + curve[-1]) / 2) / (len(curve) - 1)
