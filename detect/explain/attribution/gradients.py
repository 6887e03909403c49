"""Explanations by gradients: how the evidence for a detection changes with each value of each pixel.

Three lines each on ``torch.autograd``. Captum's (BSD) would each want the detector wrapped as a function of one tensor,
which is all that ``View.evidence`` is, and its guided gradients pass MobileNet's ReLU6 unguided.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from detect.errors import UserError
from detect.explain.attribution.options import MethodOptions
from detect.explain.attribution.target import AttributionTarget
from detect.system import randomness

CAPS = dict.fromkeys((functional.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_), math.inf) | {
    functional.relu6: 6.0
}


class _GuidedReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, ceiling: float) -> Tensor:
        ctx.save_for_backward((features > 0) & (features < ceiling))
        return features.clamp(0, ceiling)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (passed,) = ctx.saved_tensors
        return gradients[0].clamp(min=0) * passed, None


class GuidedBackprop(TorchFunctionMode):
    """Within it rectifiers have guided gradients; ``caught`` counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.num_rectifiers = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Called in place of every function of torch."""
        ceiling = CAPS.get(func)
        if func is functional.hardtanh and kwargs is not None and kwargs["min_val"] == 0:  # nn.ReLU6
            ceiling = kwargs["max_val"]
        if ceiling is None:
            return func(*args, **(kwargs or {}))
        self.num_rectifiers += 1
        return _GuidedReLU.apply(args[0], ceiling)


SAMPLES = 16  # noisy pictures; the paper's figure 4 changes little above 50, and by eye not above 16
NOISE = 0.15  # deviation as a share of the pixels' range: the middle of the paper's 10% to 20%
STEPS = 32  # on the path: the paper's 20 to 300 leave 5% of the sum over all values open


def saliency(view: AttributionTarget, _: MethodOptions) -> Tensor:
    """The gradient at the picture itself (Simonyan, Vedaldi and Zisserman 2014, arXiv:1312.6034): (D, 3, H, W)."""
    return gradient(view, view.pixels)


def smoothgrad(view: AttributionTarget, choice: MethodOptions) -> Tensor:
    """Its mean over noisy copies of the picture (Smilkov et al. 2017, arXiv:1706.03825): (D, 3, H, W)."""
    spread = float(view.pixels.max() - view.pixels.min()) * NOISE
    mean = torch.zeros_like(view.pixels).repeat(len(view.detections), 1, 1, 1)
    with choice.progress("smoothgrad", SAMPLES) as shown:
        for sample in range(SAMPLES):
            stream = torch.Generator().manual_seed(randomness.hash_key("smoothgrad", choice.seed, sample))
            noise = torch.randn(view.pixels.shape, generator=stream).to(view.pixels)
            mean += gradient(view, view.pixels + spread * noise) / SAMPLES
            shown.advance(1)
    return mean


def integrated_gradients(view: AttributionTarget, choice: MethodOptions) -> Tensor:
    """What each value adds on the way from a picture of the mean colour to this one: (D, 3, H, W).

    Integrated gradients (Sundararajan, Taly and Yan 2017, arXiv:1703.01365); the sum over all values is the evidence
    here less that of the mean colour, as far as ``STEPS`` midpoints tell.
    """
    mean = torch.zeros_like(view.pixels).repeat(len(view.detections), 1, 1, 1)
    with choice.progress("integrated gradients", STEPS) as shown:
        for step in range(STEPS):
            mean += gradient(view, view.pixels * ((step + 0.5) / STEPS)) / STEPS
            shown.advance(1)
    return mean * view.pixels


def guided_backprop(view: AttributionTarget, _: MethodOptions) -> Tensor:
    """The gradient by way of positive gradients alone, through every rectifier: (D, 3, H, W).

    It draws edges of the picture and hardly depends on the weights of upper layers (Adebayo et al. 2018,
    arXiv:1810.03292). UserError for a network without rectifiers.
    """
    with GuidedBackprop() as mode:
        found = gradient(view, view.pixels)
    if not mode.num_rectifiers:
        raise UserError("--method guided: expected a network with rectifiers (ReLU), found none")
    return found


def gradient(view: AttributionTarget, pixels: Tensor) -> Tensor:
    """Of the evidence for each pinned detection by the pixels (1, 3, H, W): (D, 3, H, W)."""
    pixels = pixels.detach().requires_grad_()
    evidence = view.objective(pixels)[0]
    return torch.stack([torch.autograd.grad(one, pixels, retain_graph=True)[0][0] for one in evidence])
