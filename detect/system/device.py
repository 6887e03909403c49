"""The device to compute on and the floating-point type to compute in."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch

from detect.errors import UserError


@dataclass(frozen=True)
class ComputeConfig:
    """The device, and the type in which the networks compute. Weights, boxes and losses stay float32."""

    device: torch.device
    dtype: torch.dtype = torch.float32

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context for a forward pass: torch.autocast, or nothing for float32."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)


def select_device(device: Literal["auto", "cpu", "cuda"], precision: Literal["fp32", "bf16", "fp16"]) -> ComputeConfig:
    """Return the requested device and type; auto takes a GPU if there is one. UserError if it is not available."""
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device: expected a machine with CUDA for cuda, found none (auto takes what there is)")
    name = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    if name == "cpu" and dtype == torch.float16:
        raise UserError("precision: expected fp32 or bf16 on a CPU, found fp16")
    if name == "cuda" and dtype == torch.bfloat16 and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise UserError(
            f"precision: expected fp32 or fp16 on {torch.cuda.get_device_name()}, found bf16, which it lacks"
        )
    return ComputeConfig(torch.device(name), dtype)
