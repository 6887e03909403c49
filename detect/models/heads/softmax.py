"""The head of Fast and Faster R-CNN: tail, then a softmax over K + 1 classes and four deltas for each class."""

from __future__ import annotations

from torch import Tensor, nn

from detect.models.heads.tails import vectors_of
from detect.ops.dtype import widen


class SoftmaxHead(nn.Module):
    """Class logits and box deltas from a tail's vectors (Fast R-CNN, section 2.1; initial weights from section 2.2)."""

    def __init__(self, tail: nn.Module, features: int, classes: int) -> None:
        super().__init__()
        self.tail = tail
        self.logits = nn.Linear(features, classes + 1)
        self.deltas = nn.Linear(features, classes * 4)
        nn.init.normal_(self.logits.weight, std=0.01)
        nn.init.normal_(self.deltas.weight, std=0.001)
        nn.init.zeros_(self.logits.bias)
        nn.init.zeros_(self.deltas.bias)

    def forward(self, regional: Tensor) -> tuple[Tensor, Tensor]:
        """(S, C, h, w) -> logits (S, K + 1), deltas (S, K, 4), float32 at least."""
        vectors = vectors_of(self.tail, regional)
        logits, deltas = widen(self.logits(vectors)), widen(self.deltas(vectors))
        return logits, deltas.view(len(deltas), deltas.shape[1] // 4, 4)
