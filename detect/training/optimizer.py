"""Optimisers and learning rates."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn, optim

Method = Literal["sgd", "rmsprop", "adamw"]


@dataclass(frozen=True)
class Schedule:
    """The learning rate of each step, relative to its peak.

    shape: constant, step (times ``gamma`` at each of ``milestones``, fractions of the run), or cosine down to 0;
    warmup: the fraction of the run over which it first rises, in a line from a thousandth.
    """

    shape: Literal["constant", "step", "cosine"]
    steps: int
    warmup: float = 0.0
    milestones: tuple[float, ...] = ()
    gamma: float = 0.1

    def factor(self, step: int) -> float:
        """For step 0 .. steps - 1."""
        rising = round(self.warmup * self.steps)
        risen = min(1.0, 0.001 + 0.999 * step / rising) if rising else 1.0
        if self.shape == "constant":
            return risen
        done = step / max(1, self.steps)
        if self.shape == "step":
            return float(risen * self.gamma ** sum(done >= milestone for milestone in self.milestones))
        return risen * 0.5 * (1.0 + math.cos(math.pi * done))


def parameter_groups(
    body: nn.Module, whole: nn.Module, lr: float, body_lr: float, weight_decay: float
) -> list[dict[str, object]]:
    """Trainable parameters in groups: the body's learn at ``body_lr * lr``; biases and normalisations do not decay."""
    of_body = {id(parameter) for parameter in body.parameters()}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in whole.parameters():
        if parameter.requires_grad:
            rate = lr * body_lr if id(parameter) in of_body else lr
            groups.setdefault((rate, weight_decay if parameter.dim() > 1 else 0.0), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "peak": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]


def make_optimizer(method: Method, groups: Iterable[dict[str, object]], momentum: float) -> optim.Optimizer:
    """SGD with momentum, RMSProp, or AdamW."""
    listed = list(groups)
    if method == "sgd":
        return optim.SGD(listed, lr=0.0, momentum=momentum, fused=True)
    if method == "rmsprop":
        return optim.RMSprop(listed, lr=0.0, momentum=momentum)
    return optim.AdamW(listed, lr=0.0, fused=True)


def set_rate(optimizer: optim.Optimizer, factor: float) -> float:
    """Set every group to ``factor`` of its peak; the largest rate, for the log."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
    return float(max(group["lr"] for group in optimizer.param_groups))


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
