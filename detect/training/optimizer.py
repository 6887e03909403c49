"""The optimizer, its learning rate schedule, and the moving average of the weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn, optim

OptimizerName = Literal["sgd", "rmsprop", "adamw"]


@dataclass(frozen=True)
class Schedule:
    """The learning rate of each step, relative to its peak value.

    shape: constant, step (times ``gamma`` at each of ``milestones``, fractions of the run), or cosine down to 0;
    warmup: the fraction of the run over which it first rises linearly from a thousandth.
    """

    shape: Literal["constant", "step", "cosine"]
    steps: int
    warmup: float = 0.0
    milestones: tuple[float, ...] = ()
    gamma: float = 0.1

    def factor(self, step: int) -> float:
        """Return the factor of step 0 .. steps - 1."""
        warmup_steps = round(self.warmup * self.steps)
        warmup_factor = min(1.0, 0.001 + 0.999 * step / warmup_steps) if warmup_steps else 1.0
        if self.shape == "constant":
            return warmup_factor
        progress = step / max(1, self.steps)
        if self.shape == "step":
            return float(warmup_factor * self.gamma ** sum(progress >= milestone for milestone in self.milestones))
        return warmup_factor * 0.5 * (1.0 + math.cos(math.pi * progress))


def parameter_groups(
    model: nn.Module,
    lr: float,
    weight_decay: float,
    module_factors: Iterable[tuple[nn.Module, float]] = (),
    bias_factor: float = 1.0,
    decay_biases: bool = False,
) -> list[dict[str, object]]:
    """Return the trainable parameters in groups for the optimizer, one for each pair of a rate and a weight decay.

    module_factors: modules and the factors on ``lr`` of their parameters; those of a parameter in several are
    multiplied, with ``bias_factor`` for the bias of a convolution or a fully connected layer. Such biases have no
    weight decay unless ``decay_biases``; normalization layers have none.
    """
    factors = {id(parameter): 1.0 for parameter in model.parameters()}
    for module, factor in module_factors:
        for parameter in module.parameters():
            factors[id(parameter)] *= factor
    biases = {id(bias) for bias in _layer_biases(model)}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            is_bias = id(parameter) in biases
            rate = lr * (factors[id(parameter)] * bias_factor if is_bias else factors[id(parameter)])
            has_decay = parameter.dim() > 1 or (is_bias and decay_biases)
            groups.setdefault((rate, weight_decay if has_decay else 0.0), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "peak": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]


def _layer_biases(model: nn.Module) -> list[nn.Parameter]:
    """Return the biases of convolutions and fully connected layers: those beside a weight of two dimensions or more."""
    layers = [dict(module.named_parameters(recurse=False)) for module in model.modules()]
    return [layer["bias"] for layer in layers if "bias" in layer and "weight" in layer and layer["weight"].dim() > 1]


def build_optimizer(method: OptimizerName, groups: Iterable[dict[str, object]], momentum: float) -> optim.Optimizer:
    """Build SGD with momentum, RMSProp with momentum, or AdamW."""
    group_list = list(groups)
    if method == "sgd":
        sgd = optim.SGD(group_list, lr=0.0, momentum=momentum, fused=True)
        # torch leaves these as uninitialized memory where fp16's loss scaler skips the first step.
        sgd.state.update(
            {p: {"momentum_buffer": torch.zeros_like(p)} for group in sgd.param_groups for p in group["params"]}
        )
        return sgd
    if method == "rmsprop":
        return optim.RMSprop(group_list, lr=0.0, momentum=momentum)
    return optim.AdamW(group_list, lr=0.0, fused=True)


def set_learning_rate(optimizer: optim.Optimizer, factor: float) -> float:
    """Set the rate of every group to ``factor`` times its peak; return the largest rate, for the log."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
    return float(max(group["lr"] for group in optimizer.param_groups))


class ModelEMA:
    """An exponential moving average of a model's weights, as a model of its own.

    The decay starts small, (1 + n) / (10 + n) at the n-th update, so that the average soon forgets the random initial
    weights.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int, applied: Tensor | None = None) -> None:
        """Move the average towards ``model`` and copy its buffers; ``step`` counts from 0.

        applied: whether the step has changed the weights, bool () on their device; if not, the average stays.
        """
        weight = 1.0 - min(self.decay, (1 + step) / (10 + step))
        averages: list[Tensor] = list(self.model.parameters())
        weights: list[Tensor] = list(model.parameters())
        if applied is None:
            torch._foreach_lerp_(averages, weights, weight)
        else:
            torch._foreach_lerp_(averages, weights, [applied * weight] * len(weights))
        if buffers := list(model.buffers()):
            torch._foreach_copy_(list(self.model.buffers()), buffers)
