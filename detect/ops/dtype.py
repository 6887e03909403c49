"""Precision for boxes, losses and sums over many regions."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Return bf16 and fp16 as float32, float32 and float64 unchanged; any shape."""
    return values if values.dtype == torch.float64 else values.float()
