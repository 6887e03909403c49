"""Grad-CAM and EigenCAM of the package pytorch-grad-cam on our detectors: the same weights, layer and target."""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor, nn

from detect.explain.attribution.methods import Explain
from detect.explain.attribution.options import MethodOptions
from detect.explain.attribution.target import AttributionTarget
from detect.models.layer_hooks import find_layer

GRADCAM = "pytorch-grad-cam GradCAM"
PEERS = {GRADCAM: "GradCAM", "pytorch-grad-cam EigenCAM": "EigenCAM"}  # name in a table -> class of the package


class _ObjectiveModule(nn.Module):
    """An attribution target as a module, which the package expects: pixels (1, 3, H, W) -> objective (1, D)."""

    def __init__(self, target: AttributionTarget) -> None:
        super().__init__()
        self.network = target.network.module
        self._objective = target.objective

    def forward(self, pixels: Tensor) -> Tensor:
        return self._objective(pixels)


def grad_cam_installed() -> bool:
    """Return whether pytorch-grad-cam is installed."""
    return importlib.util.find_spec("pytorch_grad_cam") is not None


def peer_method(class_name: str) -> Explain:
    """Return ``GradCAM`` or ``EigenCAM`` as one of our methods; its maps are scaled to 0..1 and to the pixels' size."""

    def explain(target: AttributionTarget, options: MethodOptions) -> Tensor:
        import pytorch_grad_cam

        _, layer = find_layer(target.network, options.layer)
        pixels = target.pixels.detach().requires_grad_()  # the weights of a loaded detector require no gradient
        maps = []
        with getattr(pytorch_grad_cam, class_name)(model=_ObjectiveModule(target), target_layers=[layer]) as cam:
            for index in range(len(target.detections)):
                output_selectors = [lambda output, index=index: output[index]]
                maps.append(torch.from_numpy(cam(input_tensor=pixels, targets=output_selectors)))
        return torch.stack(maps).to(pixels.device)

    return explain
