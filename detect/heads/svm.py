"""The head of R-CNN: tail, then a linear SVM and a box regressor for each class (sections 2.3 and 3.4, appendix C)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

RegressorInput = Literal["map", "vector"]


class SvmHead(nn.Module):
    """Margins from a tail's vectors, box deltas from the region map.

    regress_from: the whole region map, the features of the last pooling layer (``map``, the paper's), or the tail's
    vector, for networks whose tail ends with a pooling of its own (``vector``); ``length`` is that input's. SVMs and
    regressors are fitted in closed stages (detect.svm), so no gradient trains them; until they are set no class is ever
    seen and no box moves.
    """

    def __init__(
        self, tail: nn.Module, features: int, length: int, classes: int, regress_from: RegressorInput = "map"
    ) -> None:
        super().__init__()
        self.tail = tail
        self.regress_from = regress_from
        self.margins = nn.Linear(features, classes).requires_grad_(False)
        self.deltas = nn.Linear(length, classes * 4).requires_grad_(False)
        nn.init.constant_(self.margins.bias, -100.0)
        for zero in (self.margins.weight, self.deltas.weight, self.deltas.bias):
            nn.init.zeros_(zero)

    def forward(self, regional: Tensor) -> tuple[Tensor, Tensor]:
        """(S, C, h, w) -> logits (S, K + 1), deltas (S, K, 4), float32.

        The background's logit is 0 and a class's its margin: its score is the logistic of it (postprocess.logistic).
        """
        vectors = self.tail(regional)
        margins = self.margins(vectors).float()
        deltas = self.deltas(self.regressor_input(regional, vectors)).float()
        return torch.cat([margins.new_zeros(len(margins), 1), margins], 1), deltas.unflatten(1, (-1, 4))

    def regressor_input(self, regional: Tensor, vectors: Tensor) -> Tensor:
        """Region maps (S, C, h, w) and their vectors (S, F) -> what the box regressors read, (S, length)."""
        return regional.flatten(1) if self.regress_from == "map" else vectors

    @torch.no_grad()
    def set_svms(self, weight: Tensor, bias: Tensor) -> None:
        """weight (K, F) and bias (K,) of a linear SVM for each class, on unscaled features."""
        self.margins.weight.copy_(weight)
        self.margins.bias.copy_(bias)

    @torch.no_grad()
    def set_regressors(self, weight: Tensor, bias: Tensor) -> None:
        """weight (K, 4, length) and bias (K, 4) of the box regressors of each class, on unscaled features."""
        self.deltas.weight.copy_(weight.flatten(0, 1))
        self.deltas.bias.copy_(bias.flatten())
