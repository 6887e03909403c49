"""Grad-CAM and EigenCAM of the package pytorch-grad-cam on our detectors: the same weights, layer and target."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import torch
from torch import Tensor, nn

from detect.explain.attribution.options import MethodOptions
from detect.explain.attribution.target import AttributionTarget
from detect.models.layer_hooks import find_layer

GRADCAM = "pytorch-grad-cam GradCAM"
PEERS = {GRADCAM: "GradCAM", "pytorch-grad-cam EigenCAM": "EigenCAM"}  # what a table calls them, and the package
Explain = Callable[[AttributionTarget, MethodOptions], Tensor]


class _ObjectiveModule(nn.Module):
    """A network of one tensor, as the package wants it: pixels (1, 3, H, W) -> evidence (1, D)."""

    def __init__(self, view: AttributionTarget) -> None:
        super().__init__()
        self.network = view.network
        self._evidence = view.objective

    def forward(self, pixels: Tensor) -> Tensor:
        return self._evidence(pixels)


def grad_cam_installed() -> bool:
    """Whether the package is there."""
    return importlib.util.find_spec("pytorch_grad_cam") is not None


def peer_method(name: str) -> Explain:
    """``GradCAM`` or ``EigenCAM`` as one of our methods; its maps are scaled to 0..1 and to the pixels' size."""

    def explain(view: AttributionTarget, choice: MethodOptions) -> Tensor:
        import pytorch_grad_cam

        _, layer = find_layer(view.network, choice.layer)
        pixels = view.pixels.detach().requires_grad_()  # a loaded detector's weights ask for no gradient
        maps = []
        with getattr(pytorch_grad_cam, name)(model=_ObjectiveModule(view), target_layers=[layer]) as cam:
            for place in range(len(view.detections)):
                targets = [lambda answer, place=place: answer[place]]
                maps.append(torch.from_numpy(cam(input_tensor=pixels, targets=targets)))
        return torch.stack(maps)

    return explain
