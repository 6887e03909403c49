"""Fully connected layers compressed to low rank, by truncated SVD (Fast R-CNN, section 3.1).

A layer of u x v weights takes u * v multiplications for a region. Its best approximation of rank t is two linear layers
with nothing between them, which take t * (u + v). With 2,000 regions in an image, the fully connected layers take half
of Fast R-CNN's time with VGG16.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


class LowRankLinear(nn.Module):
    """A linear layer of rank ``rank`` at most, as ``outer(inner(x))``; the outer layer has the bias."""

    def __init__(self, in_features: int, rank: int, out_features: int) -> None:
        super().__init__()
        self.inner = nn.Linear(in_features, rank, bias=False)
        self.outer = nn.Linear(rank, out_features)

    def forward(self, vectors: Tensor) -> Tensor:
        """Apply both layers: (S, in_features) -> (S, out_features)."""
        outputs: Tensor = self.outer(self.inner(vectors))
        return outputs


def truncated_svd(layer: nn.Linear, rank: int) -> LowRankLinear:
    """Return the layer of that rank whose weights differ least from those of ``layer`` (Eckart and Young 1936)."""
    u, singular_values, v = torch.linalg.svd(layer.weight.detach().double(), full_matrices=False)
    low_rank = LowRankLinear(layer.in_features, rank, layer.out_features)
    with torch.no_grad():
        low_rank.inner.weight.copy_(singular_values[:rank, None] * v[:rank])
        low_rank.outer.weight.copy_(u[:, :rank])
        low_rank.outer.bias.copy_(torch.zeros(layer.out_features) if layer.bias is None else layer.bias)
    return low_rank


def empty_like(layer: nn.Linear, rank: int) -> LowRankLinear:
    """Return a low-rank layer for ``layer`` with random weights, to load weights into."""
    return LowRankLinear(layer.in_features, rank, layer.out_features)


def linear_layers(tail: nn.Module) -> list[nn.Linear]:
    """Return the fully connected layers of a tail in order."""
    return [part for part in tail.modules() if isinstance(part, nn.Linear)]


def replace_linears(
    tail: nn.Module, ranks: Sequence[int], make_low_rank: Callable[[nn.Linear, int], LowRankLinear]
) -> None:
    """Replace the first fully connected layers of ``tail`` by low-rank ones, one for each rank.

    Raises ValueError for more ranks than layers, and for a rank that is larger than its layer's or below 1.
    """
    layers = linear_layers(tail)
    if len(ranks) > len(layers):
        raise ValueError(
            f"expected at most {len(layers)} ranks, one for each fully connected layer, found {len(ranks)}"
        )
    for layer, rank in zip(layers, ranks, strict=False):
        max_rank = min(layer.in_features, layer.out_features)
        if not 1 <= rank <= max_rank:
            raise ValueError(
                f"expected a rank of 1 to {max_rank} for {layer.in_features} x {layer.out_features}, found {rank}"
            )
    rank_of_layer = {id(layer): rank for layer, rank in zip(layers, ranks, strict=False)}
    for parent in list(tail.modules()):
        for name, child in list(parent.named_children()):
            if id(child) in rank_of_layer and isinstance(child, nn.Linear):
                setattr(parent, name, make_low_rank(child, rank_of_layer[id(child)]))
