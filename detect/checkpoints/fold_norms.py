"""Convert frozen batch norms between the form of other projects and ours.

Theirs are four tensors in addition to the weights of a convolution; ours are a scale and a shift in FrozenConv2d
(``models.backbones.frozen_norm``). The names are those of torchvision's layers: conv1 and bn1, downsample.0 and
downsample.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch

from detect.system.tensor_files import StateDict

CONVOLUTIONS = ((r"bn(\d)", r"conv\1"), ("1", "0"))  # last part of a normalization's name -> of its convolution's name
NORMS = ((r"conv(\d)", r"bn\1"), ("0", "1"))
BATCH_COUNTER = "num_batches_tracked"
DEFAULT_EPS = 1e-5  # of torchvision's and detectron2's normalizations, unless the weights have another


def fold_norms(state: StateDict, eps: float, parts: tuple[str, ...]) -> StateDict:
    """Return the state dict with normalizations folded into the convolutions before them, as a scale and a shift (C,).

    Those whose name starts with one of ``parts`` are folded. eps: eps of the batch norms. Scales and shifts
    are float64: rounded to float32, they would move boxes by 1e-5 pixels in float64.
    """
    converted = dict(state)
    for name in state:
        norm, _, tensor = name.rpartition(".")
        if not norm.startswith(parts) or tensor != "running_var":
            continue
        weight, bias, mean, variance = (
            converted.pop(f"{norm}.{part}").double() for part in ("weight", "bias", "running_mean", "running_var")
        )
        converted.pop(f"{norm}.{BATCH_COUNTER}", None)
        convolution = _adjacent_module(norm, CONVOLUTIONS)
        scale = weight * torch.rsqrt(variance + eps)
        converted[f"{convolution}.conv.weight"] = converted.pop(f"{convolution}.weight")
        converted[f"{convolution}.scale"] = scale
        converted[f"{convolution}.shift"] = bias - mean * scale
    return converted


def unfold_norms(state: StateDict) -> StateDict:
    """Return the state dict with scales and shifts as normalizations of mean 0 and variance 1.

    It is the inverse of ``fold_norms``. The weight makes up for DEFAULT_EPS.
    """
    converted = dict(state)
    for name in state:
        convolution, _, tensor = name.rpartition(".")
        if tensor != "scale":
            continue
        norm = _adjacent_module(convolution, NORMS)
        scale = converted.pop(f"{convolution}.scale")
        converted[f"{convolution}.weight"] = converted.pop(f"{convolution}.conv.weight")
        converted[f"{norm}.weight"] = (scale.double() * (1 + DEFAULT_EPS) ** 0.5).to(scale.dtype)
        converted[f"{norm}.bias"] = converted.pop(f"{convolution}.shift")
        converted[f"{norm}.running_mean"] = torch.zeros_like(scale)
        converted[f"{norm}.running_var"] = torch.ones_like(scale)
        converted[f"{norm}.{BATCH_COUNTER}"] = torch.tensor(0)
    return converted


def rename_by_pattern(name: str, table: Iterable[tuple[str, str]]) -> str:
    """Return the name replaced by the first row of (pattern, replacement) whose pattern matches all of it."""
    for pattern, replacement in table:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, replacement, name)
    return name


def _adjacent_module(module: str, table: Iterable[tuple[str, str]]) -> str:
    """Return the name of the convolution or normalization next to ``module``: its last part is replaced."""
    parent, _, last = module.rpartition(".")
    return f"{parent}.{rename_by_pattern(last, table)}"
