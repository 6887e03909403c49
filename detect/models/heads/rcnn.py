"""The head of R-CNN: tail, then a linear classifier and a box regressor for each class (sections 2.3 and 3.4).

Fine-tuning trains tail and classifier with a softmax over K + 1 classes. Then linear SVMs replace the classifier, and
ridge regressors are fitted, without gradients. Softmax classifier and SVMs are the same linear layer.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from detect.models.heads.tails import classifier_features
from detect.ops.dtype import output_in_float32

RegressorInput = Literal["map", "vector"]


class RCNNHead(nn.Module):
    """Predicts class logits from a tail's vectors and box deltas from the region map.

    in_features: the length of what the classifier reads. svm_features: what that is, by the names of ``split_tail``;
    None for the tail's vectors, the only ones that a softmax is trained on.
    regress_from: ``map``, the whole region map, which is the features of the last pooling layer (the paper's), or
    ``vector``, the tail's vector, for networks whose tail ends with a pooling layer. ``regressor_in_features`` is the
    length of that input. Until regressors are set, all deltas are 0.
    """

    def __init__(
        self,
        tail: nn.Module,
        in_features: int,
        regressor_in_features: int,
        num_classes: int,
        regress_from: RegressorInput = "map",
        svm_features: str | None = None,
    ) -> None:
        super().__init__()
        self.tail = tail
        self.svm_features = svm_features
        self.regress_from = regress_from
        self.logits = nn.Linear(in_features, num_classes + 1)
        self.deltas = nn.Linear(regressor_in_features, num_classes * 4).requires_grad_(False)
        nn.init.normal_(self.logits.weight, std=0.01)
        for zero in (self.logits.bias, self.deltas.weight, self.deltas.bias):
            nn.init.zeros_(zero)

    @property
    def stages(self) -> tuple[RCNNHead]:
        """Return the head itself, a chain of one stage."""
        return (self,)

    def forward(self, regional: Tensor) -> tuple[Tensor, Tensor]:
        """Predict from region maps (S, C, h, w) -> logits (S, K + 1), deltas (S, K, 4), float32 at least."""
        vectors = self.classifier_input(regional)
        deltas = output_in_float32(self.deltas, self.regressor_input(regional, vectors))
        return output_in_float32(self.logits, vectors), deltas.view(len(deltas), deltas.shape[1] // 4, 4)

    def classifier_input(self, regional: Tensor) -> Tensor:
        """Return the classifier's input (S, F) of region maps (S, C, h, w)."""
        return classifier_features(self.tail, regional, self.svm_features)

    def regressor_input(self, regional: Tensor, vectors: Tensor) -> Tensor:
        """Return the box regressors' input (S, L), of region maps (S, C, h, w) or the classifier's input (S, F)."""
        return regional.flatten(1) if self.regress_from == "map" else vectors

    @torch.no_grad()
    def set_regressors(self, weight: Tensor, bias: Tensor) -> None:
        """Set the box regressors of each class: weight (K, 4, L) and bias (K, 4), for unscaled features."""
        self.deltas.weight.copy_(weight.flatten(0, 1))
        self.deltas.bias.copy_(bias.flatten())

    def output_layers(self) -> dict[str, nn.Linear]:
        """Return the layers that predict logits and deltas."""
        return {"logits": self.logits, "deltas": self.deltas}


@torch.no_grad()
def set_svms(logits: nn.Linear, weight: Tensor, bias: Tensor) -> None:
    """Replace a softmax classifier by linear SVMs: weight (K, F) and bias (K,), for unscaled features.

    The background's logit becomes 0 and that of a class its margin; the score is the logistic of the margin
    (``postprocess.logistic``).
    """
    logits.weight[0] = 0
    logits.bias[0] = 0
    logits.weight[1:] = weight
    logits.bias[1:] = bias
