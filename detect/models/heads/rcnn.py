"""The head of R-CNN: tail, then a linear classifier and a box regressor for each class (sections 2.3 and 3.4).

Fine-tuning trains tail and classifier as a softmax over K + 1 classes. Then SVMs take the classifier's place, and
ridge regressors that no gradient ever trains are fitted. A classifier of either kind is the same layer.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from detect.models.heads.tails import vectors_of

RegressorInput = Literal["map", "vector"]


class FittedHead(nn.Module):
    """Class logits from a tail's vectors, box deltas from the region map.

    regress_from: the whole region map, the features of the last pooling layer (``map``, the paper's), or the tail's
    vector, for networks whose tail ends with a pooling of its own (``vector``); ``length`` is that input's. Until
    regressors are set no box moves.
    """

    def __init__(
        self, tail: nn.Module, features: int, length: int, classes: int, regress_from: RegressorInput = "map"
    ) -> None:
        super().__init__()
        self.tail = tail
        self.regress_from = regress_from
        self.logits = nn.Linear(features, classes + 1)
        self.deltas = nn.Linear(length, classes * 4).requires_grad_(False)
        nn.init.normal_(self.logits.weight, std=0.01)
        for zero in (self.logits.bias, self.deltas.weight, self.deltas.bias):
            nn.init.zeros_(zero)

    def forward(self, regional: Tensor) -> tuple[Tensor, Tensor]:
        """(S, C, h, w) -> logits (S, K + 1), deltas (S, K, 4), float32."""
        vectors = vectors_of(self.tail, regional)
        deltas = self.deltas(self.regressor_input(regional, vectors)).float()
        return self.logits(vectors).float(), deltas.unflatten(1, (-1, 4))

    def regressor_input(self, regional: Tensor, vectors: Tensor) -> Tensor:
        """Region maps (S, C, h, w) and their vectors (S, F) -> what the box regressors read, (S, length)."""
        return regional.flatten(1) if self.regress_from == "map" else vectors

    @torch.no_grad()
    def set_regressors(self, weight: Tensor, bias: Tensor) -> None:
        """weight (K, 4, length) and bias (K, 4) of the box regressors of each class, on unscaled features."""
        self.deltas.weight.copy_(weight.flatten(0, 1))
        self.deltas.bias.copy_(bias.flatten())


@torch.no_grad()
def set_svms(logits: nn.Linear, weight: Tensor, bias: Tensor) -> None:
    """weight (K, F) and bias (K,) of a linear SVM for each class, on unscaled features, in place of a softmax.

    The background's logit becomes 0 and a class's its margin: its score is the logistic of it (postprocess.logistic).
    """
    logits.weight[0] = 0
    logits.bias[0] = 0
    logits.weight[1:] = weight
    logits.bias[1:] = bias
