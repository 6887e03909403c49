"""Normalisations that do not learn, as other projects keep them and as ours do.

Theirs are four tensors beside a convolution's weights; ours are a scale and a shift in the convolution
(``backbones.norm``). Names are those of torchvision's layers: conv1 and bn1, downsample.0 and downsample.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch

from detect.system.tensor_files import State

CONVOLUTIONS = ((r"bn(\d)", r"conv\1"), ("1", "0"))  # the last name of a normalisation -> that of its convolution
NORMS = ((r"conv(\d)", r"bn\1"), ("0", "1"))
COUNTER = "num_batches_tracked"
DEFAULT_EPS = 1e-5  # of every normalisation in torchvision's and detectron2's detectors, unless their weights say else


def folded(state: State, eps: float, parts: tuple[str, ...]) -> State:
    """Each normalisation whose name begins as one of ``parts`` as the scale and shift of the convolution before it.

    eps: what is added to variances. Scales and shifts are float64: rounded once more, they would move boxes by 1e-5
    pixels in float64.
    """
    changed = dict(state)
    for name in state:
        norm, _, tensor = name.rpartition(".")
        if not norm.startswith(parts) or tensor != "running_var":
            continue
        weight, bias, mean, variance = (
            changed.pop(f"{norm}.{part}").double() for part in ("weight", "bias", "running_mean", "running_var")
        )
        changed.pop(f"{norm}.{COUNTER}", None)
        convolution = _beside(norm, CONVOLUTIONS)
        scale = weight * torch.rsqrt(variance + eps)
        changed[f"{convolution}.conv.weight"] = changed.pop(f"{convolution}.weight")
        changed[f"{convolution}.scale"] = scale
        changed[f"{convolution}.shift"] = bias - mean * scale
    return changed


def unfolded(state: State) -> State:
    """The inverse of ``folded`` with variance 1 and mean 0; what DEFAULT_EPS takes away is in the weight."""
    changed = dict(state)
    for name in state:
        convolution, _, tensor = name.rpartition(".")
        if tensor != "scale":
            continue
        norm = _beside(convolution, NORMS)
        scale = changed.pop(f"{convolution}.scale")
        changed[f"{convolution}.weight"] = changed.pop(f"{convolution}.conv.weight")
        changed[f"{norm}.weight"] = (scale.double() * (1 + DEFAULT_EPS) ** 0.5).to(scale.dtype)
        changed[f"{norm}.bias"] = changed.pop(f"{convolution}.shift")
        changed[f"{norm}.running_mean"] = torch.zeros_like(scale)
        changed[f"{norm}.running_var"] = torch.ones_like(scale)
        changed[f"{norm}.{COUNTER}"] = torch.tensor(0)
    return changed


def renamed(name: str, table: Iterable[tuple[str, str]]) -> str:
    """By the first row whose pattern is the whole name."""
    for pattern, other in table:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, other, name)
    return name


def _beside(module: str, table: Iterable[tuple[str, str]]) -> str:
    """The module next to ``module``: with another last name."""
    above, _, last = module.rpartition(".")
    return f"{above}.{renamed(last, table)}"
