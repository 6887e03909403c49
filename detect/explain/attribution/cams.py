"""Explanations by a layer's activation maps: coarse, in the cells of that layer.

Gradients reach the map that regions are pooled from only inside a detection's region, and no gradient goes through the
proposals; so the usual layer is the body's last one that lies below that map, where the network leaves a choice.
"""

from __future__ import annotations

import torch
from torch import Tensor

from detect.errors import UserError
from detect.explain.attribution.options import MethodOptions
from detect.explain.attribution.target import AttributionTarget
from detect.models.layer_hooks import ActivationHook


def gradcam(view: AttributionTarget, choice: MethodOptions) -> Tensor:
    """Channels weighed by their mean gradient (Selvaraju et al. 2017, arXiv:1610.02391): (D, 1, h, w)."""
    maps, gradients = _maps_and_gradients(view, choice)
    weights = gradients.mean((2, 3), keepdim=True)
    return _relevant_part(view, (weights * maps).sum(1, keepdim=True))


def hirescam(view: AttributionTarget, choice: MethodOptions) -> Tensor:
    """Every cell weighed by its own gradient, summed over channels: (D, 1, h, w).

    Draelos and Carin 2020 (arXiv:2011.08891); without its smoothing also what Zhao and Chan 2023 (ODAM) found for
    detectors: a mean gradient says nothing about where, so that Grad-CAM lights up other objects of the class.
    """
    maps, gradients = _maps_and_gradients(view, choice)
    return _relevant_part(view, (gradients * maps).sum(1, keepdim=True))


@torch.no_grad()
def eigencam(view: AttributionTarget, choice: MethodOptions) -> Tensor:
    """The first principal component of the maps (Muhammad and Yeasin 2020, arXiv:2008.00299): (D, 1, h, w).

    It asks about no detection: all of a picture get the same map.
    """
    with ActivationHook(view.network, choice.layer) as kept:
        view.objective(view.pixels)
    maps = kept.maps()
    channels, height, width = maps.shape[1:]
    cells = maps[0].float().reshape(channels, -1).T
    centred = cells - cells.mean(0)
    component = torch.linalg.svd(centred, full_matrices=False).Vh[0]
    projected: Tensor = centred @ component
    projected = projected * torch.sign(projected @ cells.sum(1))  # its sign is free: more activity is positive
    return projected.clamp(min=0).view(1, 1, height, width).repeat(len(view.detections), 1, 1, 1)


def _maps_and_gradients(view: AttributionTarget, choice: MethodOptions) -> tuple[Tensor, Tensor]:
    """Of a layer: maps (1, C, h, w), and of each detection's evidence the gradients (D, C, h, w)."""
    pixels = view.pixels.detach().requires_grad_()  # frozen layers alone would leave no graph
    with ActivationHook(view.network, choice.layer) as kept:
        evidence = view.objective(pixels)[0]
    maps = kept.maps()
    found = [torch.autograd.grad(one, maps, retain_graph=True, allow_unused=True)[0] for one in evidence]
    gradients = [one for one in found if one is not None]
    if len(gradients) < len(found):
        raise UserError(f"--layer: expected a layer that the detection depends on, found {kept.name}")
    return maps.detach(), torch.cat(gradients)


def _relevant_part(view: AttributionTarget, heat: Tensor) -> Tensor:
    """For a score what raises it; for an edge what moves it, either way."""
    return heat.clamp(min=0) if view.quantity == "score" else heat.abs()
