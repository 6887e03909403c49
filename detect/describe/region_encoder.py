"""The layer that turns the features of regions into vectors of the space of words."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FeatureScale(nn.Module):
    """Shifts and scales features so that each has mean 0 and standard deviation 1 over the training regions.

    The affine layer behind it stays an affine layer of the features themselves, so no formula changes; features of any
    unit then train with one learning rate.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, length: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(length))
        self.register_buffer("std", torch.ones(length))

    def fit(self, features: Tensor) -> None:
        """Take mean and standard deviation from features (R, F); one that never changes is only shifted."""
        if len(features):
            std, mean = torch.std_mean(features.double(), dim=0, correction=0)
            self.mean.copy_(mean)
            self.std.copy_(torch.where(std > 1e-6, std, torch.ones_like(std)))

    def forward(self, features: Tensor) -> Tensor:
        """Return features (..., F) scaled."""
        return (features - self.mean) / self.std


class RegionEncoder(nn.Module):
    """Encodes regions: v = W_m CNN(region) + b_m (equation 1 of https://arxiv.org/abs/1412.2306).

    length: F, of the features; dim: D, length of the outputs; dropout: on the features.
    """

    def __init__(self, length: int, dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.scale = FeatureScale(length)
        self.output = nn.Linear(length, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        """Return the vectors (..., D) of features (..., F)."""
        vectors: Tensor = self.output(self.dropout(self.scale(features)))
        return vectors
