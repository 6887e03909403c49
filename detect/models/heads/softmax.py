"""The head of Fast and Faster R-CNN: tail, then logits of K + 1 classes and four deltas for each class, or for all."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detect.models.heads.tails import classifier_features, run_in_chunks, split_tail
from detect.ops.dtype import output_in_float32


class SoftmaxHead(nn.Module):
    """Predicts class logits and box deltas from a tail's vectors (Fast R-CNN, section 2.1; initial weights: 2.2).

    svm_features: what SVMs in place of the softmax read, by the names of ``split_tail``, and svm_in_features the length
    of that; None for the tail's vectors. class_agnostic: whether all classes share their deltas.
    """

    def __init__(
        self,
        tail: nn.Module,
        in_features: int,
        num_classes: int,
        svm_features: str | None = None,
        svm_in_features: int | None = None,
        class_agnostic: bool = False,
    ) -> None:
        super().__init__()
        self.tail = tail
        self.svm_features = svm_features
        self.logits = nn.Linear(svm_in_features or in_features, num_classes + 1)
        self.deltas = nn.Linear(in_features, 4 if class_agnostic else num_classes * 4)
        nn.init.normal_(self.logits.weight, std=0.01)
        nn.init.normal_(self.deltas.weight, std=0.001)
        nn.init.zeros_(self.logits.bias)
        nn.init.zeros_(self.deltas.bias)

    @property
    def stages(self) -> tuple[SoftmaxHead]:
        """Return the head itself, a chain of one stage."""
        return (self,)

    def forward(self, regional: Tensor) -> tuple[Tensor, Tensor]:
        """Predict from region maps (S, C, h, w) -> logits (S, K + 1), deltas (S, K or 1, 4), float32 at least."""
        if self.svm_features is None:
            features = vectors = run_in_chunks(self.tail, regional)
        else:
            below, above = split_tail(self.tail, self.svm_features)
            features = run_in_chunks(below, regional)
            vectors = run_in_chunks(above, features)
            features = features.flatten(1)
        logits, deltas = output_in_float32(self.logits, features), output_in_float32(self.deltas, vectors)
        return logits, deltas.view(deltas.shape[0], deltas.shape[1] // 4, 4)

    def classifier_input(self, regional: Tensor) -> Tensor:
        """Return the classifier's input (S, F) of region maps (S, C, h, w)."""
        return classifier_features(self.tail, regional, self.svm_features)

    def regressor_input(self, regional: Tensor, vectors: Tensor) -> Tensor:  # noqa: ARG002 - that of Head
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
