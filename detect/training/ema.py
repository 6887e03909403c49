"""Exponential moving average of the weights (Polyak and Juditsky 1992): smoother weights to evaluate and to keep."""

from __future__ import annotations

import copy

import torch
from torch import nn


class MovingAverage:
    """A copy of ``model`` that follows it.

    The decay starts small, (1 + n) / (10 + n) at the n-th update, so that the random initial weights are soon
    forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards ``model``; ``step`` counts from 0. Buffers are copied."""
        keep = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), 1.0 - keep)
        for own_buffer, other_buffer in zip(self.model.buffers(), model.buffers(), strict=True):
            own_buffer.copy_(other_buffer)
