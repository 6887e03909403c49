"""A tail over many regions, a piece of them at a time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

ROWS = 256  # regions at a time; ResNet's last stage reads 60 MB of weights for each piece, so not many fewer


def vectors_of(tail: nn.Module, regional: Tensor) -> Tensor:
    """Region maps (S, C, h, w) -> the tail's vectors (S, F).

    Without gradients in pieces: of 8,000 regions (four photos of R-CNN's) one map of MobileNetV2's last stage has 2 GB,
    of 256 it has 64 MB.
    """
    if torch.is_grad_enabled() or tail.training or len(regional) <= ROWS:
        vectors: Tensor = tail(regional)
        return vectors
    return torch.cat([tail(piece) for piece in torch.split(regional, ROWS)])
