"""Explanations by the activation maps of a layer (class activation maps): coarse, with the resolution of that layer.

Gradients reach the map that regions are pooled from only inside the detection's region, and no gradient goes through
the proposals. The default layer is therefore the last layer of the body below that map, where the network has one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from detect.errors import UserError
from detect.explain.attribution.options import MethodOptions
from detect.explain.attribution.target import AttributionTarget
from detect.models.layer_hooks import ActivationHook
from detect.ops.dtype import at_least_float32


def gradcam(target: AttributionTarget, options: MethodOptions) -> Tensor:
    """Return the sum of the channels weighted by their mean gradients (Grad-CAM): (D, 1, h, w).

    Selvaraju et al. 2017, arXiv:1610.02391.
    """
    maps, gradients = _maps_and_gradients(target, options)
    weights = gradients.mean((2, 3), keepdim=True)
    return _relevant_part(target, (weights * maps).sum(1, keepdim=True))


def hirescam(target: AttributionTarget, options: MethodOptions) -> Tensor:
    """Return each cell weighted by its own gradient, summed over channels (HiResCAM): (D, 1, h, w).

    Draelos and Carin 2020 (arXiv:2011.08891); without its smoothing this is also the method that Zhao and Chan 2023
    (ODAM) propose for detectors: a mean gradient has no position, so that Grad-CAM highlights other objects of the
    class.
    """
    maps, gradients = _maps_and_gradients(target, options)
    return _relevant_part(target, (gradients * maps).sum(1, keepdim=True))


@torch.no_grad()
def eigencam(target: AttributionTarget, options: MethodOptions) -> Tensor:
    """Return the projection of the maps on their first principal component (EigenCAM): (D, 1, h, w).

    Muhammad and Yeasin 2020, arXiv:2008.00299. The map depends on no detection: all detections of an image get the same
    one.
    """
    with ActivationHook(target.network, options.layer) as activations:
        target.objective(target.pixels)
    heat = _first_component(activations.maps()[0].float()).clamp(min=0)
    return heat[None].repeat(len(target.detections), 1, 1, 1)


def eigengradcam(target: AttributionTarget, options: MethodOptions) -> Tensor:
    """Return the projection of the cells, each weighted by its own gradient, on their first principal component.

    (D, 1, h, w). EigenCAM of the products that HiResCAM sums over the channels; the name is that of pytorch-grad-cam.
    """
    maps, gradients = _maps_and_gradients(target, options)
    return _relevant_part(target, torch.stack([_first_component(weighted) for weighted in gradients * maps]))


def _first_component(maps: Tensor) -> Tensor:
    """Return the projection of the cells of maps (C, h, w), less their mean, on their first principal component.

    Its shape is (1, h, w). The sign of a component is arbitrary: here the cells with the larger sums are positive.
    """
    cells = maps.flatten(1).T
    centered = cells - cells.mean(0)
    component = torch.linalg.svd(centered, full_matrices=False).Vh[0]
    projected: Tensor = centered @ component
    projected = projected * torch.sign(projected @ cells.sum(1))
    return projected.view(1, *maps.shape[1:])


def _maps_and_gradients(target: AttributionTarget, options: MethodOptions) -> tuple[Tensor, Tensor]:
    """Return the maps of a layer (1, C, h, w), and the gradient of each detection's objective by them (D, C, h, w).

    Both are float32 or float64, whatever the network computes in.
    """
    pixels = target.pixels.detach().requires_grad_()  # otherwise frozen layers would build no graph
    with ActivationHook(target.network, options.layer) as activations:
        objective = target.objective(pixels)[0]
    maps = activations.maps()
    gradients_or_none = [
        torch.autograd.grad(value, maps, retain_graph=True, allow_unused=True)[0] for value in objective
    ]
    gradients = [gradient for gradient in gradients_or_none if gradient is not None]
    if len(gradients) < len(gradients_or_none):
        raise UserError(f"--layer: expected a layer that the detection depends on, found {activations.name}")
    return at_least_float32(maps.detach()), at_least_float32(torch.cat(gradients))


def _relevant_part(target: AttributionTarget, heat: Tensor) -> Tensor:
    """Return what raises the score, or what moves the edge in either direction."""
    return heat.clamp(min=0) if target.quantity == "score" else heat.abs()
