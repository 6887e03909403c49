"""The explanation methods for detections, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from detect.explain.attribution.adversary import adversary
from detect.explain.attribution.cams import eigencam, gradcam, hirescam
from detect.explain.attribution.combined import combined
from detect.explain.attribution.gradients import guided_backprop, integrated_gradients, saliency, smoothgrad
from detect.explain.attribution.options import MethodOptions
from detect.explain.attribution.perturbation import drise, occlusion
from detect.explain.attribution.target import AttributionTarget

Explain = Callable[[AttributionTarget, MethodOptions], Tensor]


@dataclass(frozen=True)
class Method:
    """An explanation method.

    explain: returns heat maps (D, C, h, w) that cover the target's pixels at any resolution, C = 3 for one map for each
    color; description: what a map shows of ``{what}`` (the score or an edge), and what it does not show; needs_layer:
    whether the method explains the maps of one layer;
    needs_gradients: whether it differentiates the network, for which fp16 is too narrow.
    """

    explain: Explain
    description: str
    needs_layer: bool = False
    needs_gradients: bool = False


# The methods that explain any detector.
METHODS: dict[str, Method] = {
    "saliency": Method(saliency, "how fast {what} changes with each pixel", needs_gradients=True),
    "smoothgrad": Method(
        smoothgrad, "how fast {what} changes with each pixel, mean over noisy copies", needs_gradients=True
    ),
    "guided": Method(
        guided_backprop,
        "positive gradients of {what} only: edges, almost the same for any detection",
        needs_gradients=True,
    ),
    "integrated": Method(
        integrated_gradients, "what each pixel adds to {what}, relative to the mean color", needs_gradients=True
    ),
    "gradcam": Method(
        gradcam,
        "channels that matter for {what}, wherever they are active: other objects too",
        needs_layer=True,
        needs_gradients=True,
    ),
    "hirescam": Method(hirescam, "cells that matter for {what}", needs_layer=True, needs_gradients=True),
    "eigencam": Method(
        eigencam,
        "what is most active: the same for every detection, because it depends on no detection",
        needs_layer=True,
    ),
    "occlusion": Method(occlusion, "how hiding a patch here changes {what}"),
    "drise": Method(drise, "how a visible pixel changes {what}, from random masks"),
    "combined": Method(
        combined, "cells that matter for {what} where hiding a part of the proposal costs it too", needs_gradients=True
    ),
}
# And the one that needs the adversary that a detector was trained against.
ALL_METHODS: dict[str, Method] = METHODS | {
    "adversary": Method(adversary, "what the adversary of the training hides of the proposal, cell by cell"),
}
