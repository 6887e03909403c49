"""Explanations by gradients: how the objective of a detection changes with each value of each pixel.

Each method is a few lines on ``torch.autograd``. Captum (BSD) has them too, but needs the detector wrapped as a
function of one tensor, which is all that ``AttributionTarget.objective`` is, and its guided backpropagation misses the
ReLU6 of MobileNet.
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

SAMPLES = 16  # noisy images; in the paper's figure 4 little changes above 50, and by eye nothing above 16
NOISE = 0.15  # standard deviation as a fraction of the pixels' range: the middle of the paper's 10% to 20%
STEPS = 32  # on the path: the paper's 20 to 300 leave an error of 5% in the sum over all values


def saliency(target: AttributionTarget, _: MethodOptions) -> Tensor:
    """Return the gradient at the image itself: (D, 3, H, W).

    Simonyan, Vedaldi and Zisserman 2014, arXiv:1312.6034.
    """
    return gradient(target, target.pixels)


def smoothgrad(target: AttributionTarget, options: MethodOptions) -> Tensor:
    """Return the mean gradient over noisy copies of the image (SmoothGrad): (D, 3, H, W).

    Smilkov et al. 2017, arXiv:1706.03825.
    """
    noise_std = float(target.pixels.max() - target.pixels.min()) * NOISE
    mean = torch.zeros_like(target.pixels).repeat(len(target.detections), 1, 1, 1)
    with options.progress("smoothgrad", SAMPLES) as progress:
        for sample in range(SAMPLES):
            stream = torch.Generator().manual_seed(randomness.hash_key("smoothgrad", options.seed, sample))
            noise = torch.randn(target.pixels.shape, generator=stream).to(target.pixels)
            mean += gradient(target, target.pixels + noise_std * noise) / SAMPLES
            progress.advance(1)
    return mean


def integrated_gradients(target: AttributionTarget, options: MethodOptions) -> Tensor:
    """Return what each value adds on the straight path from an image of the mean color to this image: (D, 3, H, W).

    Sundararajan, Taly and Yan 2017, arXiv:1703.01365. The sum over all values is the objective of this image minus that
    of the mean color, up to the error of the ``STEPS`` midpoints.
    """
    mean = torch.zeros_like(target.pixels).repeat(len(target.detections), 1, 1, 1)
    with options.progress("integrated gradients", STEPS) as progress:
        for step in range(STEPS):
            mean += gradient(target, target.pixels * ((step + 0.5) / STEPS)) / STEPS
            progress.advance(1)
    return mean * target.pixels


def guided_backprop(target: AttributionTarget, _: MethodOptions) -> Tensor:
    """Return the gradient where every ReLU passes positive gradients only (guided backpropagation): (D, 3, H, W).

    The map shows edges of the image and hardly depends on the weights of upper layers (Adebayo et al. 2018,
    arXiv:1810.03292). Raises UserError for a network without ReLU.
    """
    with GuidedBackprop() as mode:
        guided_gradient = gradient(target, target.pixels)
    if not mode.num_rectifiers:
        raise UserError("--method guided: expected a network with rectifiers (ReLU), found none")
    return guided_gradient


def gradient(target: AttributionTarget, pixels: Tensor) -> Tensor:
    """Return the gradient of each detection's objective by the pixels (1, 3, H, W): (D, 3, H, W)."""
    pixels = pixels.detach().requires_grad_()
    objective = target.objective(pixels)[0]
    return torch.stack([torch.autograd.grad(value, pixels, retain_graph=True)[0][0] for value in objective])


# the rectifiers of torch, and the value at which each of them saturates
CAPS = dict.fromkeys((functional.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_), math.inf) | {
    functional.relu6: 6.0
}


class GuidedBackprop(TorchFunctionMode):
    """A mode in which rectifiers have guided gradients; ``num_rectifiers`` counts their calls."""

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
        """Replace calls of rectifiers; torch calls this method in place of each of its functions."""
        cap = CAPS.get(func)
        if func is functional.hardtanh and kwargs is not None and kwargs["min_val"] == 0:  # nn.ReLU6
            cap = kwargs["max_val"]
        if cap is None:
            return func(*args, **(kwargs or {}))
        self.num_rectifiers += 1
        return _GuidedReLU.apply(args[0], cap)


class _GuidedReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, cap: float) -> Tensor:
        ctx.save_for_backward((features > 0) & (features < cap))
        return features.clamp(0, cap)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (passed,) = ctx.saved_tensors
        return gradients[0].clamp(min=0) * passed, None
