"""Enough digits for boxes, losses and sums over many regions."""

from __future__ import annotations

import torch
from torch import Tensor


def widen(values: Tensor) -> Tensor:
    """bf16 and fp16 as float32; float32 and float64 as they are."""
    return values if values.dtype == torch.float64 else values.float()
