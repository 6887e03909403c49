"""Gradients that pass a rectifier only where they are positive.

Guided backpropagation (Springenberg et al. 2015, arXiv:1412.6806, section 3.4).

Every rectifier that runs inside ``Guided`` is caught when it is called, so that ReLU modules, in-place ones,
MobileNet's ReLU6 and functional ones (GoogLeNet) are treated alike; Captum's hooks see modules of the class nn.ReLU
alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

CEILINGS = dict.fromkeys((functional.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_), math.inf) | {
    functional.relu6: 6.0
}


class _GuidedRectifier(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, ceiling: float) -> Tensor:
        ctx.save_for_backward((features > 0) & (features < ceiling))
        return features.clamp(0, ceiling)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (passed,) = ctx.saved_tensors
        return gradients[0].clamp(min=0) * passed, None


class Guided(TorchFunctionMode):
    """Within it rectifiers have guided gradients; ``caught`` counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.caught = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Called in place of every function of torch."""
        ceiling = CEILINGS.get(func)
        if func is functional.hardtanh and kwargs is not None and kwargs["min_val"] == 0:  # nn.ReLU6
            ceiling = kwargs["max_val"]
        if ceiling is None:
            return func(*args, **(kwargs or {}))
        self.caught += 1
        return _GuidedRectifier.apply(args[0], ceiling)
