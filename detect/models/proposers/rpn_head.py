"""The layers of a region proposal network (Faster R-CNN, section 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detect.models.backbones.convolutions import ConvolutionKind, same_size
from detect.ops.patches import patches_at


class RpnHead(nn.Module):
    """One 3x3 convolution or several, then an objectness logit and four deltas for each anchor of a cell."""

    def __init__(
        self, channels: int, width: int, per_cell: int, convolutions: int = 1, kind: ConvolutionKind = "standard"
    ) -> None:
        super().__init__()
        self.hidden = same_size(kind, channels, width, 3)
        self.further = nn.ModuleList(same_size(kind, width, width, 3) for _ in range(convolutions - 1))
        self.objectness = nn.Conv2d(width, per_cell, 1)
        self.deltas = nn.Conv2d(width, per_cell * 4, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:  # not the kernels of a separable one
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.zeros_(layer.bias)

    @property
    def reach(self) -> int:
        """How many cells away a map still matters for an answer."""
        layers = [layer for layer in self.modules() if isinstance(layer, nn.Conv2d)]
        return sum(int(layer.padding[0]) for layer in layers)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, h, w) -> logits (N, h * w * per_cell), deltas (N, h * w * per_cell, 4), ordered as the anchors are."""
        logits, deltas = self._answers(self._hidden(features))
        return logits.flatten(1), deltas.flatten(1, 3)

    def at(self, features: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
        """What ``forward`` says of some cells, at the cost of those alone.

        (N, C, h, w), cells (M,) int64, places among N * h * w -> logits (M, per_cell), deltas (M, per_cell, 4).
        """
        patches, inside = patches_at(features, cells, self.reach)
        middle = self._hidden(patches, inside)[:, :, self.reach, self.reach]
        logits, deltas = self._answers(middle[:, :, None, None])
        return logits[:, 0, 0], deltas[:, 0, 0]

    def _hidden(self, features: Tensor, inside: Tensor | None = None) -> Tensor:
        """inside: 0 where a patch reaches over the map's border: there is nothing for the next convolution either."""
        for layer in (self.hidden, *self.further):
            features = torch.relu(layer(features))
            if inside is not None:
                features = features * inside
        return features

    def _answers(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """(N, W, h, w) -> logits (N, h, w, per_cell), deltas (N, h, w, per_cell, 4)."""
        logits, deltas = (layer(hidden).permute(0, 2, 3, 1) for layer in (self.objectness, self.deltas))
        return logits, deltas.unflatten(3, (-1, 4))
