"""Fully connected layers as two thin ones, by truncated SVD (Fast R-CNN, section 3.1).

A layer of u x v weights takes u * v multiplications for a region; the best approximation of rank t, two layers without
anything between them, takes t * (u + v). With 2,000 regions an image the layers of the tail are half of Fast R-CNN's
time with VGG16.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


class ThinLinear(nn.Module):
    """``outer(inner(x))``: a linear layer of rank ``rank`` at most; the bias is the outer's."""

    def __init__(self, inputs: int, rank: int, outputs: int) -> None:
        super().__init__()
        self.inner = nn.Linear(inputs, rank, bias=False)
        self.outer = nn.Linear(rank, outputs)

    def forward(self, vectors: Tensor) -> Tensor:
        """(S, inputs) -> (S, outputs)."""
        found: Tensor = self.outer(self.inner(vectors))
        return found


def approximate(layer: nn.Linear, rank: int) -> ThinLinear:
    """The layer of that rank whose weights differ least from ``layer``'s (Eckart and Young 1936)."""
    u, sizes, v = torch.linalg.svd(layer.weight.detach().double(), full_matrices=False)
    thin = ThinLinear(layer.in_features, rank, layer.out_features)
    with torch.no_grad():
        thin.inner.weight.copy_(sizes[:rank, None] * v[:rank])
        thin.outer.weight.copy_(u[:, :rank])
        thin.outer.bias.copy_(torch.zeros(layer.out_features) if layer.bias is None else layer.bias)
    return thin


def fresh(layer: nn.Linear, rank: int) -> ThinLinear:
    """One of the same shape with weights that are about to be loaded."""
    return ThinLinear(layer.in_features, rank, layer.out_features)


def linear_layers(tail: nn.Module) -> list[nn.Linear]:
    """The fully connected layers of a tail in order."""
    return [part for part in tail.modules() if isinstance(part, nn.Linear)]


def make_thin(tail: nn.Module, ranks: Sequence[int], thin: Callable[[nn.Linear, int], ThinLinear]) -> None:
    """Put a thin layer in place of each of the first fully connected layers of ``tail``, one for each rank.

    ValueError for more ranks than layers, and for a rank that is no rank of its layer.
    """
    layers = linear_layers(tail)
    if len(ranks) > len(layers):
        raise ValueError(
            f"expected at most {len(layers)} ranks, one for each fully connected layer, found {len(ranks)}"
        )
    for layer, rank in zip(layers, ranks, strict=False):
        most = min(layer.in_features, layer.out_features)
        if not 1 <= rank <= most:
            raise ValueError(
                f"expected a rank of 1 to {most} for {layer.in_features} x {layer.out_features}, found {rank}"
            )
    wanted = {id(layer): rank for layer, rank in zip(layers, ranks, strict=False)}
    for parent in list(tail.modules()):
        for name, child in list(parent.named_children()):
            if id(child) in wanted and isinstance(child, nn.Linear):
                setattr(parent, name, thin(child, wanted[id(child)]))
