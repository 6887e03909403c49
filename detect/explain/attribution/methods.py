"""The explanations of a detection, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from detect.explain.attribution.cams import eigencam, gradcam, hirescam
from detect.explain.attribution.gradients import guided_backprop, integrated_gradients, saliency, smoothgrad
from detect.explain.attribution.options import MethodOptions
from detect.explain.attribution.perturbation import drise, occlusion
from detect.explain.attribution.target import AttributionTarget

Explain = Callable[[AttributionTarget, MethodOptions], Tensor]


@dataclass(frozen=True)
class Method:
    """explain: a map (D, C, h, w) over the view's pixels, of any resolution, C = 3 for one in each colour; tells: what
    a picture of it shows of ``what`` (the score, an edge), and what not; layered: whether it asks for a layer.
    """

    explain: Explain
    description: str
    needs_layer: bool = False


METHODS: dict[str, Method] = {
    "saliency": Method(saliency, "how fast {what} changes with each pixel"),
    "smoothgrad": Method(smoothgrad, "how fast {what} changes with each pixel, mean over noisy copies"),
    "guided": Method(guided_backprop, "positive gradients of {what} alone: edges, much the same for any detection"),
    "integrated": Method(integrated_gradients, "what each pixel adds to {what}, from the mean colour on"),
    "gradcam": Method(gradcam, "channels that matter for {what}, wherever they are active: other objects too", True),
    "hirescam": Method(hirescam, "cells that matter for {what}", True),
    "eigencam": Method(eigencam, "what is most active: the same for every detection, it asks about none", True),
    "occlusion": Method(occlusion, "what hiding a patch here does to {what}"),
    "drise": Method(drise, "what seeing a pixel does for {what}, by random masks"),
}
