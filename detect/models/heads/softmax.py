"""The head of Fast and Faster R-CNN: tail, then logits of K + 1 classes and four deltas for each class."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detect.models.heads.tails import run_in_chunks
from detect.ops.dtype import at_least_float32


class SoftmaxHead(nn.Module):
    """Predicts class logits and box deltas from a tail's vectors (Fast R-CNN, section 2.1; initial weights: 2.2)."""

    def __init__(self, tail: nn.Module, in_features: int, num_classes: int) -> None:
        super().__init__()
        self.tail = tail
        self.logits = nn.Linear(in_features, num_classes + 1)
        self.deltas = nn.Linear(in_features, num_classes * 4)
        nn.init.normal_(self.logits.weight, std=0.01)
        nn.init.normal_(self.deltas.weight, std=0.001)
        nn.init.zeros_(self.logits.bias)
        nn.init.zeros_(self.deltas.bias)

    def forward(self, regional: Tensor) -> tuple[Tensor, Tensor]:
        """Predict from region maps (S, C, h, w) -> logits (S, K + 1), deltas (S, K, 4), float32 at least."""
        vectors = run_in_chunks(self.tail, regional)
        logits, deltas = at_least_float32(self.logits(vectors)), at_least_float32(self.deltas(vectors))
        return logits, deltas.view(len(deltas), deltas.shape[1] // 4, 4)

    def regressor_input(self, regional: Tensor, vectors: Tensor) -> Tensor:  # noqa: ARG002
        """Return the tail's vectors (S, F): the deltas are read from them."""
        return vectors

    @torch.no_grad()
    def set_regressors(self, weight: Tensor, bias: Tensor) -> None:
        """Set the box regressors of each class: weight (K, 4, F) and bias (K, 4)."""
        self.deltas.weight.copy_(weight.flatten(0, 1))
        self.deltas.bias.copy_(bias.flatten())

    def output_layers(self) -> dict[str, nn.Linear]:
        """Return the layers that predict logits and deltas."""
        return {"logits": self.logits, "deltas": self.deltas}
