"""Small tensors of fixed values, which are copied to a GPU once."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


def constant(values: tuple[float, ...], like: Tensor) -> Tensor:
    """Return V values as a tensor (V,) with the dtype and device of ``like``; it must not be changed in place."""
    if not like.is_cuda:
        return like.new_tensor(values)
    return _on_device(values, like.device, like.dtype)


@lru_cache(maxsize=256)
def _on_device(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Copy values (V,) to a GPU, which makes the host wait, and keep the copy."""
    with torch.inference_mode(False):  # a tensor of inference mode could not be used in training later
        return torch.tensor(values, device=device, dtype=dtype)
